"""
Contents out of a bucket, in ranges: the next ones are on their way while one is read.

A range that breaks off is asked for again, and only of the object that the first one came from: a file that was
replaced meanwhile is an error, never a mixture. Ranges for a reader go into a fixed number of buffers: large pieces of
memory that threads take and give back all the time would stay with the process. Ranges for a file go to their places
in it, each by the thread that receives it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Final

import msgspec
import urllib3
from minio.error import S3Error

from tiercel.storage.s3.client import S3Client

CHUNK: Final = 1 << 20
"""Bytes of one chunk that a reader is given."""
PIECE: Final = 1 << 20
"""Bytes that are taken from the connection at once; pieces of a quarter cost a third more of the processor."""
FILE_RANGE: Final = 64 << 20
"""Bytes of one request for a file of the disk: large enough for its round trip not to count."""
FILE_RANGES: Final = 2
"""Ranges of a file of the disk that are on their way at a time; more would wait for each other at the file."""
FIRST: Final = 1 << 20
"""Bytes of the first range: the whole of most files, and not much more than somebody needs who reads the beginning."""


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an object, and which object it is."""

    buffer: bytearray
    length: int
    """So far the buffer is filled."""
    size: int
    """Of the whole object."""
    etag: str

    def chunks(self) -> Iterator[bytes]:
        for start in range(0, self.length, CHUNK):
            yield bytes(memoryview(self.buffer)[start : min(start + CHUNK, self.length)])


class Download:
    """Reads one object."""

    def __init__(self, client: S3Client, key: str, uri: str) -> None:
        self._client = client
        self._key = key
        self._uri = uri
        self._coming: deque[asyncio.Task[Range]] = deque()
        self._free: list[bytearray] = []

    async def begin(self) -> Range:
        """Return the beginning; raise NotFound when there is no such object."""
        return await self._range(bytearray(FIRST), 0, None)

    async def chunks(self, first: Range) -> AsyncIterator[bytes]:
        """Yield everything, in order."""
        size = self._client.settings.part_size
        offsets = iter(range(first.length, first.size, size))
        ranges = -(-(first.size - first.length) // size)
        self._free = [bytearray(size) for _ in range(min(ranges, self._client.settings.parts_in_flight))]
        self._ask(offsets, first.etag)
        for chunk in first.chunks():
            yield chunk
        while self._coming:
            found = await self._coming.popleft()
            for chunk in found.chunks():
                yield chunk
            self._free.append(found.buffer)
            self._ask(offsets, first.etag)

    async def to_file(self, target: Path) -> int:
        """Write everything to a path, and return the number of bytes; raise NotFound, and make no file."""
        first = await self.begin()
        await self._client.thread(_create, target, first)
        offsets = iter(range(first.length, first.size, FILE_RANGE))

        async def take() -> None:
            for offset in offsets:
                await self._client.call(self._copy, target, offset, first.etag, uri=self._uri)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(FILE_RANGES):
                    group.create_task(take())
        except BaseExceptionGroup as failures:  # the group raises nothing else; the first tells the reason
            raise failures.exceptions[0] from failures
        return first.size

    async def close(self) -> None:
        """Leave what is on its way."""
        for task in self._coming:
            task.cancel()
        await asyncio.gather(*self._coming, return_exceptions=True)
        self._coming.clear()

    def _ask(self, offsets: Iterator[int], etag: str) -> None:
        """Ask for the next ranges, as many as there are buffers."""
        while self._free and (offset := next(offsets, None)) is not None:
            self._coming.append(asyncio.create_task(self._range(self._free.pop(), offset, etag)))

    async def _range(self, buffer: bytearray, offset: int, etag: str | None) -> Range:
        return await self._client.call(self._read, buffer, offset, etag, uri=self._uri)

    def _read(self, buffer: bytearray, offset: int, etag: str | None) -> Range:
        length = 0
        try:
            with self._answer(offset, len(buffer), etag) as answer:
                for piece in answer.stream(PIECE):
                    buffer[length : length + len(piece)] = piece
                    length += len(piece)
        except S3Error as error:
            if error.response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and offset == 0:
                return Range(buffer=buffer, length=0, size=0, etag="")  # the object is there, and empty
            raise
        return Range(buffer=buffer, length=length, size=_size(answer), etag=answer.headers["ETag"].strip('"'))

    def _copy(self, target: Path, offset: int, etag: str) -> None:
        # A file of its own for each: who gives up closes nothing that a thread still writes to.
        with (
            self._answer(offset, FILE_RANGE, etag) as answer,
            target.open("r+b") as file,
        ):
            file.seek(offset)
            for piece in answer.stream(PIECE):
                file.write(piece)

    @contextlib.contextmanager
    def _answer(self, offset: int, length: int, etag: str | None) -> Iterator[urllib3.BaseHTTPResponse]:
        """Ask for a range: of the object with this tag, if one is given."""
        answer = self._client.minio.get_object(
            self._client.bucket,
            self._key,
            offset,
            length,
            request_headers={"If-Match": f'"{etag}"'} if etag is not None else None,
        )
        try:
            yield answer
        except BaseException:  # whatever broke it off, the connection is in an unknown state
            answer.close()  # what has broken off is not used again
            raise
        finally:
            answer.release_conn()


def _create(target: Path, first: Range) -> None:
    with target.open("wb") as file:
        file.write(memoryview(first.buffer)[: first.length])


def _size(answer: urllib3.BaseHTTPResponse) -> int:
    """Return the size of the object that a range was taken from."""
    return int(answer.headers["Content-Range"].rpartition("/")[2])
