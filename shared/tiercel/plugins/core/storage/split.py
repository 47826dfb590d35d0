"""Split: cuts a file into several, by rows, by size, into a number of parts, or by what a line says."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import msgspec

from tiercel.errors import TaskFailed
from tiercel.expression import ion
from tiercel.model.property import DYNAMIC, NOT_EMPTY
from tiercel.plugins.base import RunContext, RunnableTask
from tiercel.plugins.core.storage.rows import ion_rows, is_binary, pieces
from tiercel.plugins.registry import register
from tiercel.storage import uris

PARTS_MAX: Final = 100_000
OPEN_MAX: Final = 500
"""Files that are open at a time; more partitions than this are refused."""
NO_RULE: Final = "Nothing says how the file is to be split; set one of 'rows', 'bytes', 'partitions' or 'regexPattern'."
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)I?B?", re.IGNORECASE)
_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_size(text: str) -> int:
    """Read a size such as `10MB`; raise TaskFailed for anything else."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or float(match[1]) <= 0:
        raise TaskFailed(f"'{text}' is not a size; write it as '10MB' or '512KB'.")
    return max(1, int(float(match[1]) * _UNITS[match[2].upper()]))


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """How a file is cut; the first that is set counts."""

    bytes: int | None = None
    partitions: int | None = None
    rows: int | None = None
    pattern: str | None = None
    separator: str = "\n"


def split(path: Path, folder: Path, suffix: str, rule: Rule) -> list[Path]:
    """Cut a file into files in a folder; return them in order."""
    separator = rule.separator.encode()
    if suffix == ".ion" and is_binary(path):
        separator = b"\n"
        parts: Iterator[bytes] = (ion.dumps(row).encode() for row in ion_rows(path))
    else:
        parts = pieces(path, separator)
    writer = _Writer(folder, suffix, separator)
    try:
        if rule.pattern is not None:
            writer.by_group(parts, rule.pattern)
        elif rule.bytes is not None:
            writer.by_size(parts, rule.bytes)
        elif rule.partitions is not None:
            writer.in_turn(parts, rule.partitions)
        elif rule.rows is not None:
            writer.by_rows(parts, rule.rows)
        else:
            raise TaskFailed(NO_RULE)
    finally:
        writer.close()
    return writer.paths


class _Writer:
    """Writes the parts into as many files as the rule asks for."""

    def __init__(self, folder: Path, suffix: str, separator: bytes) -> None:
        self._folder = folder
        self._suffix = suffix
        self._separator = separator
        self._open: list[BinaryIO] = []
        self.paths: list[Path] = []

    def _next(self) -> BinaryIO:
        if len(self.paths) >= PARTS_MAX:
            raise TaskFailed(f"The file would be split into more than {PARTS_MAX} parts; take larger ones.")
        path = self._folder / f"{len(self.paths)}-{os.urandom(6).hex()}{self._suffix}"
        self.paths.append(path)
        file = path.open("wb")
        self._open.append(file)
        return file

    def _only_next(self) -> BinaryIO:
        self.close()
        return self._next()

    def close(self) -> None:
        """Close what is open."""
        for file in self._open:
            file.close()
        self._open.clear()

    def by_rows(self, parts: Iterator[bytes], rows: int) -> None:
        file: BinaryIO | None = None
        for index, part in enumerate(parts):
            if file is None or index % rows == 0:
                file = self._only_next()
            file.write(part + self._separator)

    def by_size(self, parts: Iterator[bytes], size: int) -> None:
        file: BinaryIO | None = None
        written = 0
        for part in parts:
            length = len(part) + len(self._separator)
            if file is None or written >= size:
                file, written = self._only_next(), 0
            file.write(part + self._separator)
            written += length

    def in_turn(self, parts: Iterator[bytes], count: int) -> None:
        if count > OPEN_MAX:
            raise TaskFailed(f"A file can be split into {OPEN_MAX} partitions at most; use 'rows' or 'bytes' for more.")
        files: list[BinaryIO] = []
        for index, part in enumerate(parts):
            if len(files) < count:
                files.append(self._next())
            files[index % count].write(part + self._separator)

    def by_group(self, parts: Iterator[bytes], pattern: str) -> None:
        try:
            expression = re.compile(pattern)
        except re.error as error:
            raise TaskFailed(f"The pattern '{pattern}' is not valid: {error}.") from error
        if not expression.groups:
            raise TaskFailed(f"The pattern '{pattern}' needs a group, whose text decides where a line goes.")
        files: dict[str, BinaryIO] = {}
        for part in parts:
            match = expression.search(part.decode("utf-8", "replace"))
            if match is None or match[1] is None:
                continue
            if match[1] not in files:
                if len(files) >= OPEN_MAX:
                    raise TaskFailed(f"The pattern '{pattern}' has more than {OPEN_MAX} different values in the file.")
                files[match[1]] = self._next()
            files[match[1]].write(part + self._separator)


async def store_split(context: RunContext, uri: str, rule: Rule) -> list[str]:
    """Cut a stored file and store its parts; return their URIs in order."""
    source = await context.fetch(uri)
    suffix = uris.extension(uris.path_of(uri))
    folder = context.working_dir / f"split-{os.urandom(6).hex()}"
    await asyncio.to_thread(folder.mkdir)
    try:
        paths = await asyncio.to_thread(split, source, folder, suffix, rule)
    except ValueError as error:
        raise TaskFailed(f"The file '{uri}' cannot be read: {error}") from error
    return [await context.store(path.name, path) for path in paths]


@register("io.kestra.plugin.core.storage.Split", "io.kestra.core.tasks.storages.Split")
class Split(RunnableTask, frozen=True, kw_only=True):
    """Cut a file into several."""

    from_: Annotated[str, DYNAMIC, NOT_EMPTY] = msgspec.field(name="from")
    """The URI of the file."""
    bytes: Annotated[str | None, DYNAMIC] = None
    """A part ends with the line that reaches this size, for example `10MB`."""
    partitions: Annotated[int | str | None, DYNAMIC] = None
    """How many parts."""
    rows: Annotated[int | str | None, DYNAMIC] = None
    """How many lines per part."""
    separator: Annotated[str, DYNAMIC] = "\n"
    """What ends a line."""
    regex_pattern: Annotated[str | None, DYNAMIC] = None

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Store the parts."""
        size = await context.render(self.bytes)
        rule = Rule(
            bytes=parse_size(size) if size else None,
            partitions=positive(await context.render(self.partitions, int), "partitions"),
            rows=positive(await context.render(self.rows, int), "rows"),
            pattern=await context.render(self.regex_pattern),
            separator=await context.render(self.separator) or "\n",
        )
        return {"uris": await store_split(context, await context.render(self.from_), rule)}


def positive(number: int | None, name: str) -> int | None:
    """Return a number that is above zero, or None; raise TaskFailed for any other."""
    if number is not None and number < 1:
        raise TaskFailed(f"'{name}' must be at least 1, but is {number}.")
    return number
