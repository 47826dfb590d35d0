"""What internal storage counts: bytes both ways, whatever their form, and what failed; never what was just missing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from tiercel.errors import NotFound, Refused, Unavailable
from tiercel.storage.local import LocalStorage
from tiercel.storage.metered import MeteredStorage


class AwayStorage(LocalStorage):
    """A storage whose server is away."""

    async def put(
        self,
        tenant_id: str,
        uri: str,
        content: bytes | Path | AsyncIterator[bytes],
        *,
        metadata: Mapping[str, str] | None = None,
        final: bool = False,
    ) -> str:
        raise Unavailable("It is away.")


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"tiercel_storage_{name}", labels) or 0.0


async def two() -> AsyncIterator[bytes]:
    yield b"12"
    yield b"345"


async def test_bytes_are_counted_in_all_forms(tmp_path: Path) -> None:
    """As bytes, from a path, from a stream; read in whole and in chunks."""
    storage = MeteredStorage(LocalStorage(tmp_path / "storage"))
    (tmp_path / "file").write_bytes(b"1234567")
    written, read = counted("bytes_total", direction="written"), counted("bytes_total", direction="read")

    await storage.put("main", "/a", b"123")
    await storage.put("main", "/b", tmp_path / "file")
    await storage.put("main", "/c", two())
    await storage.read("main", "/b")
    async with storage.open("main", "/c") as chunks:
        content = b"".join([chunk async for chunk in chunks])

    assert b"12345" == content
    assert 3 + 7 + 5 == counted("bytes_total", direction="written") - written
    assert 7 + 5 == counted("bytes_total", direction="read") - read


async def test_a_failure_is_counted_and_an_answer_is_not(tmp_path: Path) -> None:
    """That a file is missing, or a path makes no sense, is no failure of the storage."""
    storage = MeteredStorage(AwayStorage(tmp_path))
    puts, reads = counted("errors_total", operation="put"), counted("errors_total", operation="read")

    with pytest.raises(Unavailable):
        await storage.put("main", "/a", b"")
    with pytest.raises(NotFound):
        await storage.read("main", "/a")
    with pytest.raises(Refused):
        await storage.read("main", "/../a")

    assert 1 == counted("errors_total", operation="put") - puts
    assert 0 == counted("errors_total", operation="read") - reads
