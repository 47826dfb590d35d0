"""Folders of tests as other users see them: those that pytest makes are closed to everybody else."""

from __future__ import annotations

import tempfile
from pathlib import Path


def let_through(path: Path, mode: int = 0o755) -> None:
    """Let other users come to a path in the folder of temporary files, whoever runs the tests side by side."""
    top = Path(tempfile.gettempdir()).resolve()
    for each in (path, *path.resolve().parents):
        if top not in each.resolve().parents:
            break
        each.chmod(mode)
