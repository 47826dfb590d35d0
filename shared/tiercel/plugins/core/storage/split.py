"""Split: cuts a file into several, by rows, by size, into a number of parts, or by what a line says."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import msgspec
from msgspec import Meta

from tiercel.errors import TaskFailed
from tiercel.expression import ion, java_regex
from tiercel.model.property import DYNAMIC, NOT_EMPTY, Written, constant
from tiercel.model.size import parse_size, size_problem
from tiercel.model.task import Objection
from tiercel.plugins.base import RunContext, RunnableTask
from tiercel.plugins.core.storage.rows import ended, ion_rows, is_binary
from tiercel.plugins.objection import uri_objections
from tiercel.plugins.registry import register
from tiercel.storage import uris

PARTS_MAX: Final = 100_000
"""As many values as a loop over the parts is meant for; each is a file in storage."""
OPEN_MAX: Final = 500
"""Files that are open at a time; more partitions than this are refused."""
NO_RULE: Final = "Nothing says how the file is to be split; set one of 'rows', 'bytes', 'partitions' or 'regexPattern'."
STORED_AT_ONCE: Final = 4
"""Parts that are stored at a time: enough to hide latency, few enough for the disk."""
BUFFER: Final = 64 * 1024
"""Bytes of a file that are gathered in memory; as many files as may be open have theirs."""


def pattern_problem(pattern: str) -> str | None:
    """Tell why a pattern cannot say where a line goes, None when it can."""
    try:
        groups = java_regex.compiled(pattern).groups
    except ValueError as error:
        return f"The pattern '{pattern}' is not valid: {error}."
    return None if groups else f"The pattern '{pattern}' needs a group, whose text decides where a line goes."


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """How a file is cut; the first that is set counts."""

    bytes: int | None = None
    partitions: int | None = None
    rows: int | None = None
    pattern: str | None = None
    separator: str = "\n"


def split(path: Path, folder: Path, suffix: str, rule: Rule) -> Iterator[Path]:
    """Cut a file into files in a folder; yield them in order, each as soon as nothing more goes into it."""
    separator = rule.separator.encode()
    if suffix == ".ion" and is_binary(path):
        separator = b"\n"
        parts: Iterator[bytes] = (ion.dumps(row).encode() + separator for row in ion_rows(path))
    else:
        parts = ended(path, separator)
    writer = _Writer(folder, suffix)
    try:
        if rule.pattern is not None:
            yield from writer.by_group(parts, rule.pattern, separator)
        elif rule.bytes is not None:
            yield from writer.by_size(parts, rule.bytes)
        elif rule.partitions is not None:
            yield from writer.in_turn(parts, rule.partitions)
        elif rule.rows is not None:
            yield from writer.by_rows(parts, rule.rows)
        else:
            raise TaskFailed(NO_RULE)
    finally:
        writer.close()


class _Writer:
    """Writes rows, which come with their ends, into as many files as the rule asks for."""

    def __init__(self, folder: Path, suffix: str) -> None:
        self._folder = folder
        self._suffix = suffix
        self._count = 0
        self._open: list[BinaryIO] = []

    def _next(self) -> BinaryIO:
        if self._count >= PARTS_MAX:
            raise TaskFailed(f"The file would be split into more than {PARTS_MAX} parts; take larger ones.")
        file = (self._folder / f"{self._count}-{os.urandom(6).hex()}{self._suffix}").open("wb", buffering=BUFFER)
        self._count += 1
        self._open.append(file)
        return file

    def close(self) -> list[Path]:
        """Close what is open; return the paths."""
        paths = []
        for file in self._open:
            file.close()
            paths.append(Path(file.name))
        self._open.clear()
        return paths

    def by_rows(self, rows: Iterator[bytes], count: int) -> Iterator[Path]:
        while (first := next(rows, None)) is not None:
            file = self._next()
            file.write(first)
            file.writelines(islice(rows, count - 1))
            yield from self.close()

    def by_size(self, rows: Iterator[bytes], size: int) -> Iterator[Path]:
        file: BinaryIO | None = None
        written = 0
        for row in rows:
            if file is None or written >= size:
                yield from self.close()
                file, written = self._next(), 0
            file.write(row)
            written += len(row)
        yield from self.close()

    def in_turn(self, rows: Iterator[bytes], count: int) -> Iterator[Path]:
        if count > OPEN_MAX:
            raise TaskFailed(f"A file can be split into {OPEN_MAX} partitions at most; use 'rows' or 'bytes' for more.")
        files: list[BinaryIO] = []
        for index, row in enumerate(rows):
            if len(files) < count:
                files.append(self._next())
            files[index % count].write(row)
        yield from self.close()

    def by_group(self, rows: Iterator[bytes], pattern: str, end: bytes) -> Iterator[Path]:
        problem = pattern_problem(pattern)
        if problem is not None:
            raise TaskFailed(problem)
        expression = java_regex.compiled(pattern)
        files: dict[str, BinaryIO] = {}
        for row in rows:
            line = row.removesuffix(end).decode("utf-8", "replace")
            try:
                match = expression.search(line, timeout=java_regex.MATCH_TIME_MAX_S)
            except TimeoutError as error:
                raise TaskFailed(f"The pattern '{pattern}' takes too long for a line; write a simpler one.") from error
            if match is None or match[1] is None:
                continue
            if match[1] not in files:
                if len(files) >= OPEN_MAX:
                    raise TaskFailed(f"The pattern '{pattern}' has more than {OPEN_MAX} different values in the file.")
                files[match[1]] = self._next()
            files[match[1]].write(row)
        yield from self.close()


async def store_split(context: RunContext, uri: str, rule: Rule) -> list[str]:
    """
    Cut a stored file and store its parts; return their URIs in order.

    Parts are stored while the next ones are cut, and removed then: a few of them are on the disk at a time.
    """
    source = await context.fetch(uri, read_only=True)
    suffix = uris.extension(uris.path_of(uri))
    folder = context.working_dir / f"split-{os.urandom(6).hex()}"
    await asyncio.to_thread(folder.mkdir)
    cut = split(source, folder, suffix, rule)
    gate = asyncio.Semaphore(STORED_AT_ONCE)

    async def store(path: Path) -> str:
        try:
            return await context.store(path.name, path, final=True)
        finally:
            await asyncio.to_thread(path.unlink, missing_ok=True)
            gate.release()

    try:
        async with asyncio.TaskGroup() as group:
            stored = []
            while (path := await asyncio.to_thread(next, cut, None)) is not None:
                await gate.acquire()
                stored.append(group.create_task(store(path)))
    except BaseExceptionGroup as failures:  # the first tells the reason
        error = failures.exceptions[0]
        if isinstance(error, ValueError):
            raise TaskFailed(f"The file '{uri}' cannot be read: {error}") from error
        raise error from failures
    return [task.result() for task in stored]


@register("io.kestra.plugin.core.storage.Split", "io.kestra.core.tasks.storages.Split")
class Split(RunnableTask, frozen=True, kw_only=True):
    """Cut a file into several."""

    from_: Annotated[str, DYNAMIC, NOT_EMPTY] = msgspec.field(name="from")
    """The URI of the file."""
    bytes: Annotated[str | None, DYNAMIC, Written(size_problem)] = None
    """A part ends with the line that reaches this size, for example `10MB`."""
    partitions: Annotated[int | str | None, DYNAMIC, Meta(ge=1, le=OPEN_MAX)] = None
    """How many parts."""
    rows: Annotated[int | str | None, DYNAMIC, Meta(ge=1)] = None
    """How many lines per part."""
    separator: Annotated[str, DYNAMIC] = "\n"
    """What ends a line."""
    regex_pattern: Annotated[str | None, DYNAMIC] = None

    def objections(self) -> Iterator[Objection]:
        yield from uri_objections("from", self.from_)
        if not any((self.bytes, self.partitions, self.rows, self.regex_pattern)):
            yield Objection((), NO_RULE)
        pattern = constant(self.regex_pattern)
        problem = pattern_problem(pattern) if pattern is not None else None
        if problem is not None:
            yield Objection(("regexPattern",), problem)

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Store the parts."""
        rule = Rule(
            bytes=size_of(await context.render(self.bytes)),
            partitions=positive(await context.render(self.partitions, int), "partitions"),
            rows=positive(await context.render(self.rows, int), "rows"),
            pattern=await context.render(self.regex_pattern),
            separator=await context.render(self.separator) or "\n",
        )
        return {"uris": await store_split(context, await context.render(self.from_), rule)}


def size_of(text: str | None) -> int | None:
    """Return a size in bytes, None when none is given; raise TaskFailed for what is no size."""
    try:
        return parse_size(text) if text else None
    except ValueError as error:
        raise TaskFailed(str(error)) from error


def positive(number: int | None, name: str) -> int | None:
    """Return a number that is above zero, or None; raise TaskFailed for any other."""
    if number is not None and number < 1:
        raise TaskFailed(f"'{name}' must be at least 1, but is {number}.")
    return number
