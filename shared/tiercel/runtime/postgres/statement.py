"""
SQL from files beside their module. A file holds statements, each under a line `-- name: <name>` and its description.

`{table}` in a statement is filled in by `of`: names of tables come from the table of topics, never from outside.
"""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import Final

_HEADER: Final = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)
_COMMENT: Final = re.compile(r"^\s*--.*$", re.MULTILINE)


class Statements:
    """The statements of one file."""

    def __init__(self, package: str, file: str) -> None:
        text = resources.files(package).joinpath(file).read_text()
        _, *parts = _HEADER.split(text)
        self._texts = {name: _plain(body) for name, body in zip(parts[::2], parts[1::2], strict=True)}

    def __getitem__(self, name: str) -> bytes:
        return self.of(name)

    @functools.cache  # noqa: B019, statements live as long as their module
    def of(self, name: str, table: str = "") -> bytes:
        """Return a statement, about this table."""
        text = self._texts[name]
        return (text.replace("{table}", table) if table else text).encode()


def _plain(text: str) -> str:
    lines = (line.strip() for line in _COMMENT.sub("", text).splitlines())
    return "\n".join(line for line in lines if line).rstrip(";")
