"""Instants as texts, in the form that Kestra's API and expressions have."""

from __future__ import annotations

from datetime import datetime


def iso_text(instant: datetime) -> str:
    """Write an instant in ISO-8601; one in UTC ends with `Z`."""
    return instant.isoformat().replace("+00:00", "Z")
