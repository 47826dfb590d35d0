"""
The place of a file below a storage's root: its tenant's folder, then the names of its path.

Every adapter asks here, so that none lets a path out of its tenant's folder, and a file has the same place everywhere.
"""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import Final

from tiercel.errors import NotFound, Refused
from tiercel.storage import uris

NAME_MAX: Final = 246
"""Bytes of a name: common file systems allow 255, and a note beside a file has a longer name than the file."""
_KEPT: Final = 160
"""Bytes that a shortened name keeps: with hash and suffix it stays below `NAME_MAX`."""
_SUFFIX_MAX: Final = 15
"""Bytes of a suffix; what is longer is none."""


def names(tenant_id: str, uri: str) -> tuple[str, ...]:
    """Return the tenant and the names of the path; raise Refused when one of them would lead elsewhere."""
    if not tenant_id or "/" in tenant_id or tenant_id in (".", "..") or "\0" in tenant_id:
        raise Refused(f"'{tenant_id}' is not the name of a tenant.")
    return tenant_id, *(_fitting(name) for name in uris.path_of(uri).split("/") if name not in ("", "."))


def missing(uri: str) -> NotFound:
    """Return what is raised for a file that is not there."""
    return NotFound(f"File '{uri}' does not exist in internal storage.")


def too_large(uri: str, limit: int) -> Refused:
    """Return what is raised for a file that must not be read at once."""
    return Refused(f"File '{uri}' is larger than {limit} bytes, which is the most that may be read at once.")


def _fitting(name: str) -> str:
    """Return a name, shortened by its hash when it is too long."""
    encoded = name.encode()
    if len(encoded) <= NAME_MAX:
        return name
    kept = encoded[:_KEPT].decode(errors="ignore")
    suffix = PurePosixPath(name).suffix
    digest = hashlib.sha256(encoded).hexdigest()[:32]
    return f"{kept}-{digest}{suffix if len(suffix.encode()) <= _SUFFIX_MAX else ''}"
