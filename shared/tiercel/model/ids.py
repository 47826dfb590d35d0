"""
Identifiers: 128 bits shaped like UUIDv7 (milliseconds, then a hash or random bits), written in base 62 as Kestra does.

Ids that the engine makes are a function of what caused them, so that deciding the same event twice asks for the same
thing; the instant in front keeps them ordered, so that history can be partitioned by them.
"""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from uuid import UUID

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VALUE = {letter: index for index, letter in enumerate(_ALPHABET)}
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
LENGTH = 22
"""Letters of an id; shorter numbers are padded with zeros, so that ids sort like their numbers."""

_NUMBER_AT = 42
"""Bits of the hash below the number of a numbered id."""


def to_text(number: UUID) -> str:
    """Write a UUID in base 62, 22 letters."""
    rest, pairs = number.int, []
    for _ in range(LENGTH // 2):
        rest, index = divmod(rest, 62 * 62)
        pairs.append(_PAIRS[index])
    return "".join(reversed(pairs))


def to_uuid(text: str) -> UUID:
    """
    Read an id; any other text gets the UUID of its hash.

    Callers may choose execution ids of their own, so every text is a valid key: one that is not of our form is mapped
    to a name-based UUID.
    """
    if len(text) == LENGTH:
        number = 0
        for letter in text:
            value = _VALUE.get(letter)
            if value is None:
                break
            number = number * 62 + value
        else:
            if number < 1 << 128:
                return UUID(int=number)
    return UUID(bytes=hashlib.blake2b(text.encode(), digest_size=16, person=b"tiercel.id").digest())


def _shaped(at: datetime, low: bytes) -> str:
    return _of_bits(at, int.from_bytes(low, "big") & ((1 << 80) - 1))


def _of_bits(at: datetime, bits: int) -> str:
    millis = int(at.timestamp() * 1000)
    bits = (bits & ~(0xF << 76)) | (0x7 << 76)
    bits = (bits & ~(0x3 << 62)) | (0x2 << 62)
    return to_text(UUID(int=(millis << 80) | bits))


def joined(*parts: str | None, separator: str = "_") -> str:
    """Return the name that parts make together; those that are not there are left out."""
    return separator.join(part for part in parts if part is not None)


def new_id(at: datetime | None = None) -> str:
    """Make a random id of the instant `at` (now when absent)."""
    return _shaped(at or datetime.now(UTC), os.urandom(10))


def derived_id(at: datetime, *causes: str | int) -> str:
    """Make the id that these causes always get at this instant."""
    text = "\x00".join(str(cause) for cause in causes)
    return _shaped(at, hashlib.blake2b(text.encode(), digest_size=10).digest())


def numbered_id(at: datetime, number: int, *causes: str | int) -> str:
    """
    Make the id of one of very many things that have the same causes; these ids sort by their numbers.

    A table grows at its end then, and so do its indexes: each new row finds the page that it goes to in memory.
    """
    text = "\x00".join(str(cause) for cause in (*causes, number))
    low = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") & ((1 << _NUMBER_AT) - 1)
    # 32 bits of the number, around the four that say the form of the id
    return _of_bits(at, (number >> 20 & 0xFFF) << 64 | (number & 0xFFFFF) << _NUMBER_AT | low)


def instant_of(text: str) -> datetime | None:
    """Return the instant (UTC) that an id of our form carries, None for any other text."""
    number = to_uuid(text)
    return datetime.fromtimestamp((number.int >> 80) / 1000, UTC) if number.version == 7 else None
