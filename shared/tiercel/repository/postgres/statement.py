"""SQL of the `.sql` files beside this module, by name: `-- name: x` begins a statement, comments explain it."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Final

_HEAD: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load(file: str) -> dict[str, str]:
    """Return the statements of a file."""
    parts = _HEAD.split(files(__package__).joinpath(file).read_text())
    return {name: _without_comments(body) for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def _without_comments(body: str) -> str:
    return "\n".join(line for line in body.splitlines() if not line.startswith("--")).strip()
