"""Tenants: who shares an installation without seeing the others; most have only one."""

from __future__ import annotations

from typing import Final

MAIN_TENANT: Final = "main"
"""The tenant of everything that names none, as in Kestra."""
