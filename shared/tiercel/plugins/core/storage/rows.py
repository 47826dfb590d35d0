"""
Rows of a file: Ion, text or binary, one value per row; or plain lines. Read and written in bounded memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from amazon.ion import simpleion

from tiercel.expression import ion

_CHUNK: Final = 256 * 1024
"""Bytes that are read at a time: large enough for the calls not to count."""


def is_binary(path: Path) -> bool:
    """Tell whether a file is binary Ion."""
    with path.open("rb") as file:
        return file.read(len(ion.BINARY_MARK)) == ion.BINARY_MARK


def ion_rows(path: Path) -> Iterator[Any]:
    """Yield the values of an Ion file; raise ValueError when it is none."""
    return (value for value, _ in written_rows(path))


def written_rows(path: Path) -> Iterator[tuple[Any, bytes]]:
    """Yield the values of an Ion file, each with its line as it is written there; raise ValueError when it is none."""
    with path.open("rb") as file:
        if file.read(len(ion.BINARY_MARK)) == ion.BINARY_MARK:
            file.seek(0)
            for parsed in simpleion.load(file, single_value=False, parse_eagerly=False):
                for value in ion.loads(simpleion.dumps(parsed, binary=True)):
                    yield value, _line(value)
            return
        file.seek(0)
        for line in file:
            values = ion.loads(line) if line.strip() else []
            if len(values) == 1:
                yield values[0], line.rstrip(b"\r\n") + b"\n"
            else:
                yield from ((value, _line(value)) for value in values)


def write_row(file: BinaryIO, value: Any) -> None:
    """Append a value as one line of Ion text."""
    file.write(_line(value))


def _line(value: Any) -> bytes:
    return ion.dumps(value).encode() + b"\n"


def pieces(path: Path, separator: bytes) -> Iterator[bytes]:
    """Yield the parts of a file between separators, in order; an empty last one is none."""
    if separator == b"\n":
        with path.open("rb") as file:
            for line in file:
                yield line.removesuffix(b"\n")
        return
    rest = b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            *whole, rest = (rest + chunk).split(separator)
            yield from whole
    if rest:
        yield rest


def ended(path: Path, separator: bytes) -> Iterator[bytes]:
    """Yield the same parts, each with the separator that ends it; the last one always has one."""
    if separator != b"\n":
        yield from (piece + separator for piece in pieces(path, separator))
        return
    with path.open("rb", buffering=_CHUNK) as file:
        for line in file:
            yield line if line.endswith(b"\n") else line + b"\n"
