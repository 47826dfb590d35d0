"""
Claim check: outputs that are too large for a message stay in internal storage, as JSON, and the message names them.

Who reads them compares the digest, so that a file that was changed or cut is never taken for the outputs.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from tiercel.errors import InternalError
from tiercel.model.execution import OutputRef
from tiercel.storage.base import Storage

INLINE_SIZE_MAX: Final = 64 * 1024
"""Bytes of JSON that travel inside a message."""


def digest_of(content: bytes) -> bytes:
    """Return the digest by which outputs are known again."""
    return hashlib.blake2b(content, digest_size=16).digest()


def inline(outputs: dict[str, Any], encoded: bytes) -> OutputRef | None:
    """Return a reference that carries the outputs themselves; None when they are too large for that."""
    return OutputRef(size=len(encoded), value=outputs) if len(encoded) <= INLINE_SIZE_MAX else None


async def check_in(storage: Storage, tenant_id: str, path: str, encoded: bytes) -> OutputRef:
    """Store encoded outputs at `path`; return what the message carries instead."""
    uri = await storage.put(tenant_id, path, encoded)
    return OutputRef(size=len(encoded), uri=uri, digest=digest_of(encoded))


async def check_out(storage: Storage, tenant_id: str, uri: str, digest: bytes | None = None) -> dict[str, Any]:
    """Return the outputs that lie at a URI; raise NotFound, or InternalError when they are not what was stored."""
    content = await storage.read(tenant_id, uri)
    if digest is not None and digest_of(content) != digest:
        raise InternalError(f"The outputs at '{uri}' are not those that were stored: their digest differs.")
    outputs: dict[str, Any] = msgspec.json.decode(content)
    return outputs
