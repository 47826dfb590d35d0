"""
Columns of rows as binary arrays, made in one go.

Batches go to the server as `unnest` of one array a column. The library's own dumper calls a dumper for each element;
packing whole columns is some ten times cheaper, and it is the hot path of every batch.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from psycopg import adapters
from psycopg.adapt import AdaptersMap, Buffer, Dumper
from psycopg.pq import Format

_HEAD = struct.Struct(">iIIii")
_EMPTY = struct.Struct(">iII")
_LENGTH = struct.Struct(">i").pack
_NULL = _LENGTH(-1)
_INT8 = struct.Struct(">iq").pack
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class Column:
    """An array parameter, ready to be sent."""

    __slots__ = ("data",)
    element: ClassVar[int]
    array: ClassVar[int]

    def __init__(self, data: bytes) -> None:
        self.data = data

    @classmethod
    def _of(cls, count: int, body: bytes, nulls: bool = False) -> Any:
        if count == 0:
            return cls(_EMPTY.pack(0, 0, cls.element))
        return cls(_HEAD.pack(1, int(nulls), cls.element, count, 1) + body)


class Int2Column(Column):
    element, array = 21, 1005


class Int4Column(Column):
    element, array = 23, 1007


class Int8Column(Column):
    element, array = 20, 1016


class BoolColumn(Column):
    element, array = 16, 1000


class TextColumn(Column):
    element, array = 25, 1009


class ByteaColumn(Column):
    element, array = 17, 1001


class InstantColumn(Column):
    element, array = 1184, 1185


def _fixed(letter: str, width: int, values: Sequence[Any]) -> bytes:
    lengths = [width] * (2 * len(values))
    lengths[1::2] = values
    return struct.pack(">" + f"i{letter}" * len(values), *lengths)


def int2s(values: Sequence[int]) -> Int2Column:
    """Make a smallint[]."""
    column: Int2Column = Int2Column._of(len(values), _fixed("h", 2, values))
    return column


def int4s(values: Sequence[int]) -> Int4Column:
    """Make an integer[]."""
    column: Int4Column = Int4Column._of(len(values), _fixed("i", 4, values))
    return column


def int8s(values: Sequence[int]) -> Int8Column:
    """Make a bigint[]."""
    column: Int8Column = Int8Column._of(len(values), _fixed("q", 8, values))
    return column


def bools(values: Sequence[bool]) -> BoolColumn:
    """Make a boolean[]."""
    column: BoolColumn = BoolColumn._of(len(values), _fixed("?", 1, values))
    return column


def _joined(values: Sequence[bytes]) -> bytes:
    parts = [b""] * (2 * len(values))
    parts[::2] = map(_LENGTH, map(len, values))
    parts[1::2] = values
    return b"".join(parts)


def texts(values: Sequence[str]) -> TextColumn:
    """Make a text[]."""
    column: TextColumn = TextColumn._of(len(values), _joined([value.encode() for value in values]))
    return column


def byteas(values: Sequence[bytes]) -> ByteaColumn:
    """Make a bytea[]."""
    column: ByteaColumn = ByteaColumn._of(len(values), _joined(values))
    return column


def instants(values: Sequence[datetime | None]) -> InstantColumn:
    """Make a timestamptz[]; None is NULL."""
    body = b"".join(_NULL if value is None else _INT8(8, _micros(value)) for value in values)
    column: InstantColumn = InstantColumn._of(len(values), body, nulls=True)
    return column


def _micros(instant: datetime) -> int:
    passed = instant - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


def _dumper(column: type[Column]) -> type[Dumper]:
    class ColumnDumper(Dumper):
        format = Format.BINARY
        oid = column.array

        def dump(self, obj: Any) -> Buffer | None:
            data: bytes = obj.data
            return data

    return ColumnDumper


ADAPTERS = AdaptersMap(adapters)
"""The library's adapters and ours."""
for _column in (Int2Column, Int4Column, Int8Column, BoolColumn, TextColumn, ByteaColumn, InstantColumn):
    ADAPTERS.register_dumper(_column, _dumper(_column))
