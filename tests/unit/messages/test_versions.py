"""
Two versions side by side, as during every rolling upgrade: each reads what the other sends.

The rules that make it so: a field that is added has a default, a field that is not known is passed over, and what an
older version must not read has a higher level. They are held for every message of every topic, by its own definition.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, get_args

import msgspec
import pytest
from msgspec import inspect

from tiercel.messages import codec
from tiercel.messages.topics import TOPICS, Topic

INSTANT: Final = "2026-01-02T03:04:05Z"
UNKNOWN: Final = "added_by_the_next_version"


def messages() -> Iterator[tuple[Topic[Any], type[Any]]]:
    for topic in TOPICS:
        for kind in get_args(topic.message) or (topic.message,):
            yield topic, kind


CASES: Final = [pytest.param(topic, kind, id=f"{topic.name}-{kind.__name__}") for topic, kind in messages()]


def oldest(kind: Any, extra: dict[str, Any]) -> Any:
    """Return plain data as the oldest version sends it: with what has no default, and with `extra` in every struct."""
    match kind:
        case inspect.StructType():
            given = [(field, oldest(field.type, extra)) for field in kind.fields if field.required]
            if kind.array_like:
                return [value for _, value in given] + list(extra.values())
            tag = {kind.tag_field: kind.tag} if kind.tag_field is not None else {}
            return {**tag, **{field.encode_name: value for field, value in given}, **extra}
        case inspect.UnionType():
            return oldest(kind.types[0], extra)
        case inspect.StrType():
            return "text"
        case inspect.IntType():
            return 1
        case inspect.FloatType():
            return 1.5
        case inspect.BoolType():
            return True
        case inspect.DateTimeType():
            return INSTANT
        case inspect.EnumType():
            return next(iter(kind.cls)).value
        case inspect.RawType() | inspect.DictType() | inspect.AnyType():
            return {}
        case inspect.VarTupleType() | inspect.ListType():
            return [oldest(kind.item_type, extra)]
        case inspect.TupleType():
            return [oldest(each, extra) for each in kind.item_types]
        case inspect.NoneType():
            return None
        case _:
            raise AssertionError(f"There is no example of {kind} yet.")


def body(kind: type[Any], extra: dict[str, Any]) -> bytes:
    return msgspec.msgpack.encode(oldest(inspect.type_info(kind), extra))


@pytest.mark.parametrize(("topic", "kind"), CASES)
def test_a_message_without_the_fields_of_later_versions_is_read(topic: Topic[Any], kind: type[Any]) -> None:
    """An older version sends what has no default, and nothing else; the rest has its default here."""
    message = codec.decode(topic, body(kind, {}), topic.level)

    assert isinstance(message, kind)
    for field in inspect.type_info(kind).fields:
        if not field.required and field.default is not inspect.NODEFAULT:
            assert field.default == getattr(message, field.name)


@pytest.mark.parametrize(("topic", "kind"), CASES)
def test_fields_that_are_not_known_yet_are_passed_over(topic: Topic[Any], kind: type[Any]) -> None:
    """A newer version sends more, at every depth; what is known is read as if it were not there."""
    plain, extended = body(kind, {}), body(kind, {UNKNOWN: {"any": ["value"]}})

    assert len(extended) > len(plain)
    assert codec.decode(topic, plain, topic.level) == codec.decode(topic, extended, topic.level)


@pytest.mark.parametrize(("topic", "kind"), CASES)
def test_a_message_of_a_newer_level_is_not_touched(topic: Topic[Any], kind: type[Any]) -> None:
    """Whatever it holds: it is no dead letter, but left for processes that know it."""
    for content in (body(kind, {}), b"\xc1 not even MessagePack"):
        with pytest.raises(codec.NewerLevel, match=f"level {topic.level + 1}; this version knows {topic.level}"):
            codec.decode(topic, content, topic.level + 1)


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_a_type_that_is_not_known_needs_a_newer_level(topic: Topic[Any]) -> None:
    """At our own level it is undecodable: whoever adds a type of message raises the level of its topic."""
    content = msgspec.msgpack.encode({"type": "AddedByTheNextVersion"})

    with pytest.raises(codec.Undecodable):
        codec.decode(topic, content, topic.level)
    with pytest.raises(codec.NewerLevel):
        codec.decode(topic, content, topic.level + 1)
