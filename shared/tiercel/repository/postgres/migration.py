"""Numbered migrations of the history schema, applied once each, in order, under an advisory lock."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final

from psycopg import AsyncConnection

LOCK: Final = 0x7469657263_02
"""The advisory lock of history's migrations; any number that no other lock of Tiercel has."""

_NOTE: Final = "INSERT INTO public.tiercel_history_migration (name) VALUES (%s)"


async def migrate(connection: AsyncConnection[Any]) -> list[str]:
    """Apply the migrations that are missing; return their names."""
    applied: list[str] = []
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS public.tiercel_history_migration"
            " (name text PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())"
        )
        rows = await (await connection.execute("SELECT name FROM public.tiercel_history_migration")).fetchall()
        known = {row[0] for row in rows}
        folder = files(__package__).joinpath("migrations")
        for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if file.name.endswith(".sql") and file.name not in known:
                await connection.execute(file.read_text())
                await connection.execute(_NOTE, (file.name,))
                applied.append(file.name)
    return applied
