"""`tiercel migrate`: make or update the tables, before new versions of the processes start."""

from __future__ import annotations

import argparse
import asyncio

from tiercel.cli import options
from tiercel.runtime import wiring


def execute(arguments: argparse.Namespace) -> int:
    """Apply what is missing and name it."""
    settings = options.read(arguments)
    options.require_backends(settings)
    applied = asyncio.run(wiring.migrate(settings))
    for name in applied:
        print(f"applied {name}")
    if not applied:
        print("Everything is up to date.")
    return 0
