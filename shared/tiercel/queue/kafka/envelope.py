"""
A message as it lies in a topic: a small head with origin and sequence, then the body.

The head is binary and before the body, not in Kafka's headers: it is read for every message, and a struct is ten times
cheaper than a list of pairs.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

import msgspec

from tiercel.errors import InternalError

_HEAD: Final = struct.Struct(">BBHqB")
FORM: Final = 1
"""The form of the head; another one is of a newer version."""


class Kind(IntEnum):
    """What the body is."""

    MESSAGE = 0
    FAREWELL = 1
    """To a worker that leaves: how many jobs it has been sent in all, as MessagePack."""
    LEGACY_PATIENT = 2
    """A message that may wait, as versions wrote it before a header said so (`producer.PATIENT`)."""


class Envelope(msgspec.Struct, frozen=True):
    """One message: who sent it as which of its messages, and at which level of the topic."""

    origin: str
    seq: int
    level: int
    body: bytes
    kind: Kind = Kind.MESSAGE


def pack(origin: str, seq: int, level: int, body: bytes, kind: Kind = Kind.MESSAGE) -> bytes:
    """Return the bytes of a message."""
    name = origin.encode()
    return _HEAD.pack(FORM, kind, level, seq, len(name)) + name + body


def unpack(value: bytes) -> Envelope:
    """Read a message; raise InternalError when it is none of ours."""
    try:
        form, kind, level, seq, length = _HEAD.unpack_from(value)
        if form != FORM:
            raise InternalError(f"A message of form {form} is in a topic; this version knows {FORM}.")
        begin = _HEAD.size + length
        return Envelope(value[_HEAD.size : begin].decode(), seq, level, value[begin:], Kind(kind))
    except (struct.error, ValueError) as error:
        raise InternalError(f"Bytes in a topic are no message of Tiercel ({error}).") from error
