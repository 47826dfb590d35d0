"""A file of internal storage onto a disk, written by a thread: a slow disk must not hold up everything else."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tiercel.storage.base import Storage


async def to_file(storage: Storage, tenant_id: str, uri: str, target: Path) -> None:
    """Write a stored file to a path; raise NotFound, and make no file, when it is not there."""
    async with storage.open(tenant_id, uri) as chunks:
        file = await asyncio.to_thread(target.open, "wb")
        try:
            async for chunk in chunks:
                await asyncio.to_thread(file.write, chunk)
        finally:
            file.close()
