"""
Contents out of a bucket, in ranges: the next ones are on their way while one is read.

A range that breaks off is asked for again, and only of the object that the first one came from: a file that was
replaced meanwhile is an error, never a mixture.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from typing import Final

import msgspec
import urllib3
from minio.error import S3Error

from tiercel.storage.s3.client import S3Client

CHUNK: Final = 1 << 20
"""Bytes of one chunk that a reader is given."""
FIRST: Final = 1 << 20
"""Bytes of the first range: the whole of most files, and not much more than somebody needs who reads the beginning."""


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an object, and which object it is."""

    chunks: tuple[bytes, ...]
    size: int
    """Of the whole object."""
    etag: str


class Download:
    """Reads one object."""

    def __init__(self, client: S3Client, key: str, uri: str) -> None:
        self._client = client
        self._key = key
        self._uri = uri
        self._coming: deque[asyncio.Task[Range]] = deque()

    async def begin(self, length: int = FIRST) -> Range:
        """Return the beginning; raise NotFound when there is no such object."""
        return await self._range(0, length, None)

    async def chunks(self, first: Range) -> AsyncIterator[bytes]:
        """Yield everything, in order."""
        size = self._client.settings.part_size
        offsets = iter(range(sum(map(len, first.chunks)), first.size, size))
        self._ask(offsets, size, first.etag)
        for chunk in first.chunks:
            yield chunk
        while self._coming:
            found = await self._coming.popleft()
            self._ask(offsets, size, first.etag)
            for chunk in found.chunks:
                yield chunk

    async def close(self) -> None:
        """Leave what is on its way."""
        for task in self._coming:
            task.cancel()
        await asyncio.gather(*self._coming, return_exceptions=True)
        self._coming.clear()

    def _ask(self, offsets: Iterator[int], size: int, etag: str) -> None:
        """Ask for the next ranges, as many as may be on their way."""
        while len(self._coming) < self._client.settings.parts_in_flight and (offset := next(offsets, None)) is not None:
            self._coming.append(asyncio.create_task(self._range(offset, size, etag)))

    async def _range(self, offset: int, length: int, etag: str | None) -> Range:
        return await self._client.call(self._read, offset, length, etag, uri=self._uri)

    def _read(self, offset: int, length: int, etag: str | None) -> Range:
        try:
            answer = self._client.minio.get_object(
                self._client.bucket,
                self._key,
                offset,
                length,
                request_headers={"If-Match": f'"{etag}"'} if etag is not None else None,
            )
        except S3Error as error:
            if error.response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and offset == 0:
                return Range(chunks=(), size=0, etag="")  # the object is there, and empty
            raise
        try:
            chunks = tuple(answer.stream(CHUNK))
        finally:
            answer.close()
            answer.release_conn()
        return Range(chunks=chunks, size=_size(answer), etag=answer.headers["ETag"].strip('"'))


def _size(answer: urllib3.BaseHTTPResponse) -> int:
    """Return the size of the object that a range was taken from."""
    return int(answer.headers["Content-Range"].rpartition("/")[2])
