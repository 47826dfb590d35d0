"""
MessagePack of tagged unions, one encoder and decoder a topic.

A message of a higher level than ours is not poison: `decode` says so with `NewerLevel`, and it is left where it is.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from tiercel.errors import InternalError
from tiercel.messages.topics import TOPICS, Topic

M = TypeVar("M")


class Undecodable(InternalError):
    """Bytes that our own level should be able to decode, and cannot: a dead letter."""


class NewerLevel(InternalError):
    """A message of a newer version: it stays where it is until this process is upgraded."""


_ENCODER = msgspec.msgpack.Encoder()
_DECODERS: dict[str, msgspec.msgpack.Decoder[Any]] = {
    topic.name: msgspec.msgpack.Decoder(topic.message) for topic in TOPICS
}


def encode(message: Any) -> bytes:
    """Encode a message of any topic."""
    return _ENCODER.encode(message)


def decode(topic: Topic[M], body: bytes, level: int = 1) -> M:
    """Decode a message of `topic`; raise NewerLevel or Undecodable."""
    if level > topic.level:
        raise NewerLevel(f"A message of topic '{topic.name}' has level {level}; this version knows {topic.level}.")
    try:
        decoded: M = _DECODERS[topic.name].decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:  # the last two are not msgspec's own
        raise Undecodable(f"A message of topic '{topic.name}' cannot be decoded: {error}.") from error
    return decoded
