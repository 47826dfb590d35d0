"""Dates of schedules: cron expressions, time zones, and when a schedule fires in a zone."""
