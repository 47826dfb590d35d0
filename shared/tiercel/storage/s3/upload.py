"""
Contents into a bucket. What fits into one part is one request; more goes in several parts, some at the same time.

A part stays in memory until the store has it, so that it can be sent again whatever becomes of its source. Parts have a
fixed number of buffers, which are used again and again: memory does not depend on the size of the file.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, TypeVar, cast

from minio.datatypes import Part
from minio.error import S3Error

from tiercel.errors import Refused
from tiercel.storage.base import Content
from tiercel.storage.s3.client import S3Client

PARTS_MAX: Final = 10_000
"""S3's limit of one upload."""
FIRST_GUESS: Final = 64 << 10
"""The first buffer for a content whose size is not known; most are small."""
GONE: Final = "NoSuchUpload"
CONTENT_TYPE: Final = {"Content-Type": "application/octet-stream"}

T = TypeVar("T")


class Source(Protocol):
    """Where the bytes of an upload come from."""

    size: int | None

    async def fill(self, buffer: memoryview) -> int:
        """Fill the buffer; return how far, which is less than its length only at the end."""
        ...


class FileSource:
    """A file that is open, or bytes as a file."""

    def __init__(self, client: S3Client, file: BinaryIO, size: int) -> None:
        self._client = client
        self._file = file
        self.size: int | None = size

    async def fill(self, buffer: memoryview) -> int:
        return await self._client.thread(_read_full, self._file, buffer)


class StreamSource:
    """Chunks that come one after the other."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")
        self.size: int | None = None

    async def fill(self, buffer: memoryview) -> int:
        filled = 0
        while filled < len(buffer):
            if not self._rest:
                chunk = await anext(self._chunks, None)
                if chunk is None:
                    break
                self._rest = memoryview(chunk)
            count = min(len(self._rest), len(buffer) - filled)
            buffer[filled : filled + count] = self._rest[:count]
            self._rest = self._rest[count:]
            filled += count
        return filled


class Upload:
    """One upload of one content to one key."""

    def __init__(self, client: S3Client, key: str, uri: str, notes: Mapping[str, str]) -> None:
        self._client = client
        self._minio = client.minio
        self._key = key
        self._uri = uri
        self._headers = {**CONTENT_TYPE, **notes, **client.encryption_headers}
        self._id = ""
        self._size = 0
        self._sending: dict[asyncio.Task[Part], bytearray] = {}
        self._sent: list[Part] = []
        self._free: list[bytearray] = []

    async def run(self, content: Content) -> None:
        """Store the content; what was there before stays until all of it has arrived."""
        match content:
            case bytes():
                await self._send(FileSource(self._client, io.BytesIO(content), len(content)))
            case Path():
                file = await self._client.thread(lambda: content.open("rb"))
                try:
                    await self._send(_of_file(self._client, file))
                finally:
                    file.close()
            case BufferedReader():
                await self._send(_of_file(self._client, content))
            case _:
                await self._send(StreamSource(content))

    async def _send(self, source: Source) -> None:
        part_size = max(self._client.settings.part_size, -(-(source.size or 0) // PARTS_MAX))
        first, length = await _first(source, part_size)
        following, more = bytearray(0), 0
        if length == part_size and length != source.size:
            following = bytearray(part_size)
            more = await source.fill(memoryview(following))
        if not more:
            body = memoryview(first)[:length]
            await self._call(self._put, body)
            return
        self._id = await self._call(self._create)
        try:
            await self._send_parts(source, part_size, [(first, length), (following, more)])
        except BaseException:  # cancelled too: no part may stay, for it is paid for
            for task in self._sending:
                task.cancel()
            await asyncio.gather(*self._sending, return_exceptions=True)
            await self._client.attempt(self._minio._abort_multipart_upload, self._client.bucket, self._key, self._id)
            raise

    # Each try has headers of its own, because the client adds its signature to those that it is given.

    def _put(self, bucket: str, key: str, body: memoryview) -> None:
        self._minio._put_object(bucket, key, cast(bytes, body), {**self._headers})

    def _create(self, bucket: str, key: str) -> str:
        return self._minio._create_multipart_upload(bucket, key, {**self._headers})

    async def _send_parts(self, source: Source, part_size: int, filled: list[tuple[bytearray, int]]) -> None:
        number = 0
        for buffer, length in filled:
            number += 1
            await self._begin_part(number, buffer, length)
        while length == part_size:
            if number == PARTS_MAX:
                raise Refused(
                    f"File '{self._uri}' has more than {PARTS_MAX} parts of {part_size} bytes; "
                    "raise 'storage.s3.part-size-mb'."
                )
            buffer = self._free.pop() if self._free else bytearray(part_size)
            length = await source.fill(memoryview(buffer))
            if length:
                number += 1
                await self._begin_part(number, buffer, length)
        while self._sending:
            await self._one_arrived()
        await self._call(self._complete, sorted(self._sent, key=lambda part: part.part_number))

    def _complete(self, bucket: str, key: str, parts: list[Part]) -> None:
        """Make one object of the parts; when they are one already, an earlier try has succeeded and nobody heard."""
        try:
            self._minio._complete_multipart_upload(bucket, key, self._id, parts)
        except S3Error as error:
            if error.code != GONE or not self._is_complete(bucket, key, len(parts)):
                raise

    def _is_complete(self, bucket: str, key: str, part_count: int) -> bool:
        """Tell whether the object is of as many parts and bytes as were sent: whatever encrypts it changes neither."""
        found = self._minio.stat_object(bucket, key)
        return found.size == self._size and (found.etag or "").endswith(f"-{part_count}")

    async def _begin_part(self, number: int, buffer: bytearray, length: int) -> None:
        """Send a part beside the others; wait for one of them when there are as many as may be."""
        while len(self._sending) >= self._client.settings.parts_in_flight:
            await self._one_arrived()
        self._size += length
        task = asyncio.create_task(self._send_part(number, memoryview(buffer)[:length]))
        self._sending[task] = buffer

    async def _send_part(self, number: int, data: memoryview) -> Part:
        etag = await self._call(self._minio._upload_part, data, None, self._id, number)
        return Part(number, etag)

    async def _one_arrived(self) -> None:
        done, _ = await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            self._free.append(self._sending.pop(task))
            self._sent.append(task.result())

    async def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        return await self._client.call(function, self._client.bucket, self._key, *arguments, uri=self._uri)


async def _first(source: Source, part_size: int) -> tuple[bytearray, int]:
    """Return the first buffer and how far it is filled; it grows when the size is not known."""
    known = source.size
    buffer = bytearray(min(part_size, FIRST_GUESS if known is None else known))
    length = await source.fill(memoryview(buffer))
    while known is None and length == len(buffer) < part_size:
        larger = bytearray(min(part_size, 4 * len(buffer)))
        larger[:length] = buffer
        buffer = larger
        length += await source.fill(memoryview(buffer)[length:])
    return buffer, length


def _of_file(client: S3Client, file: BinaryIO) -> FileSource:
    return FileSource(client, file, os.fstat(file.fileno()).st_size)


def _read_full(file: BinaryIO, buffer: memoryview) -> int:
    filled = 0
    while filled < len(buffer) and (count := file.readinto(buffer[filled:])):  # type: ignore[attr-defined]  # BinaryIO's files have it
        filled += count
    return filled
