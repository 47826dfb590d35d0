"""
Notes with a file, as headers of an object: `expirationDate` is `x-amz-meta-expiration-date`.

Headers know neither capital letters nor anything but ASCII, so names are written with hyphens, as Kestra writes them,
and values with percent signs where they must be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote

from tiercel.errors import Refused

PREFIX: Final = "x-amz-meta-"
SIZE_MAX: Final = 2048
"""Bytes of all notes of one object that stores accept."""
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")
_PLAIN: Final = "".join(map(chr, range(0x21, 0x7F))).replace("%", "") + " "


def headers(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Return the headers that carry the notes; raise Refused when they do not fit."""
    written = {}
    for name, value in (metadata or {}).items():
        if not _NAME.fullmatch(name):
            raise Refused(f"'{name}' cannot be the name of a file's metadata; use letters, digits, '_', '-' and '.'.")
        written[PREFIX + re.sub(r"[A-Z-]", lambda found: "-" + found[0].lower(), name)] = _value(value)
    size = sum(len(name) - len(PREFIX) + len(value) for name, value in written.items())
    if size > SIZE_MAX:
        raise Refused(f"The metadata of a file has {size} bytes; an object store keeps {SIZE_MAX} at most.")
    return written


def read(found: Mapping[str, str] | None) -> dict[str, str] | None:
    """Return the notes that headers carry, None when there are none."""
    notes = {
        re.sub(r"-(.)", lambda letter: letter[1].upper(), name.lower().removeprefix(PREFIX)): unquote(value)
        for name, value in (found or {}).items()
        if name.lower().startswith(PREFIX)
    }
    return notes or None


def _value(text: str) -> str:
    quoted = quote(text, safe=_PLAIN)
    # Spaces at the ends, or several in a row, do not survive the way.
    return re.sub(r"^ | $| (?= )", "%20", quoted)
