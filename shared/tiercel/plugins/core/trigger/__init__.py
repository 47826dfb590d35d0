"""Triggers: what starts executions by itself."""
