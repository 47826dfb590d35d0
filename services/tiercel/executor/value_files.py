"""
Files whose rows are the values of a Loop: Ion, text or binary, or plain lines.

A file is read once, into a file of lines beside this process, of which a few windows are in memory. Few are kept: one
that has left is read again.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from tiercel.errors import ExpressionError, NotFound
from tiercel.executor.core.iterations import WINDOW
from tiercel.expression import ion
from tiercel.plugins.core.storage.rows import ion_rows, is_binary, pieces
from tiercel.storage.base import Storage

FILES_MAX: Final = 32
"""Files that stay open: each is a file on the disk and a few windows in memory."""
WINDOWS_MAX: Final = 8
"""Windows of a file that stay in memory: iterations end, and ask for their rows again, near where others begin."""
WINDOW_BYTES: Final = 256 * 1024
"""Windows that are larger do not stay."""


class Lines:
    """The rows of a file as JSON texts, a line each, and where every window begins."""

    __slots__ = ("_kept", "count", "file", "starts")

    def __init__(self, source: Path) -> None:
        self.file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 open as long as it is kept
        self.starts: list[int] = []
        self.count = 0
        self._kept: OrderedDict[int, list[str]] = OrderedDict()
        if is_binary(source):
            for value in ion_rows(source):
                self._add(value)
        else:
            for line in pieces(source, b"\n"):
                if line.strip():
                    for value in _values(line):
                        self._add(value)

    def _add(self, value: object) -> None:
        if value is None:
            raise ExpressionError("Found a null value inside the iteration values; every value must be something.")
        if self.count % WINDOW == 0:
            self.starts.append(self.file.tell())
        text = value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()
        self.file.write(msgspec.json.encode(text) + b"\n")
        self.count += 1

    def kept(self, number: int) -> list[str] | None:
        """Return the texts of a window that is in memory."""
        return self._kept.get(number)

    def window(self, number: int) -> list[str]:
        """Read the texts of one window."""
        start = self.starts[number]
        self.file.seek(start)
        length = min(WINDOW, self.count - number * WINDOW)
        found = [msgspec.json.decode(self.file.readline(), type=str) for _ in range(length)]
        if self.file.tell() - start <= WINDOW_BYTES:
            self._kept[number] = found
            if len(self._kept) > WINDOWS_MAX:
                self._kept.popitem(last=False)
        return found


def _values(line: bytes) -> list[object]:
    """Read a line of Ion; a line that is none, or a bare word, is its own text."""
    text = line.decode("utf-8", "replace").rstrip("\r")
    if text.lstrip()[:1] not in ("{", "[", '"'):
        return [text]
    try:
        return list(ion.loads(line))
    except ValueError:
        return [text]


class ValueFiles:
    """Keeps the files of values that loops are reading."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._files: OrderedDict[tuple[str, str], Lines] = OrderedDict()

    async def count(self, tenant_id: str, uri: str) -> int:
        """Return how many rows a file has; a file that is read for its count is read as it is now."""
        dropped = self._files.pop((tenant_id, uri), None)
        if dropped is not None:
            dropped.file.close()
        return (await self._lines(tenant_id, uri)).count

    async def window(self, tenant_id: str, uri: str, number: int) -> list[str]:
        """Return the rows of one window, as texts."""
        lines = await self._lines(tenant_id, uri)
        kept = lines.kept(number)
        return await asyncio.to_thread(lines.window, number) if kept is None else kept

    async def _lines(self, tenant_id: str, uri: str) -> Lines:
        found = self._files.get((tenant_id, uri))
        if found is None:
            with tempfile.NamedTemporaryFile(suffix=".rows") as copy:
                try:
                    async with self._storage.open(tenant_id, uri) as chunks:
                        async for chunk in chunks:
                            copy.write(chunk)
                except NotFound as error:
                    raise ExpressionError(f"The file '{uri}' of the values of a Loop does not exist.") from error
                copy.flush()
                found = await asyncio.to_thread(Lines, Path(copy.name))
            self._files[tenant_id, uri] = found
            while len(self._files) > FILES_MAX:
                _, old = self._files.popitem(last=False)
                old.file.close()
        self._files.move_to_end((tenant_id, uri))
        return found
