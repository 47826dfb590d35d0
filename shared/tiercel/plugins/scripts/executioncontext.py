"""
The context of an execution as a file that a script reads (`executionContext: true`), under the name that Kestra gives.

A script that reads its data needs no expressions in its text. The file holds inputs of type SECRET in plain text: only
the script's user may read it, nothing keeps it, and it is gone when the commands are over.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import msgspec

from tiercel.plugins.base import RunContext

FILE: Final = ".kestra-execution-context.json"
LEFT_OUT: Final = ("envs", "globals")
"""What a script has as variables of its environment already."""


async def write(context: RunContext) -> Path:
    """Write what expressions of the task see into its folder."""
    text = await context.render("{{ fetchContext() | toJson }}", str)
    found: dict[str, Any] = msgspec.json.decode(text.encode())
    path = context.working_dir / FILE
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(msgspec.json.encode({name: value for name, value in found.items() if name not in LEFT_OUT}))
    return path
