"""Secrets: named in flows, resolved where a task runs."""
