"""Matchers of stored files: a value that is a URI (or a map or list of URIs), and what the files hold."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

from amazon.ion import simpleion

from tests.conformance.equality import same
from tests.conformance.result import Mismatch


class Files(Protocol):
    """What matchers may ask the engine for."""

    def now(self) -> datetime:
        """Return the present of the engine."""
        ...

    async def read_file(self, uri: str) -> bytes:
        """Return a stored file's content."""
        ...

    def decrypt(self, cipher: str) -> str:
        """Decrypt a text with the installation's key."""
        ...

    def http_body(self, url: str) -> Any:
        """Return what the stub answers for a URL."""
        ...

    def input_file(self) -> str | None:
        """Return the URI of the file that the case put into the storage first."""
        ...


def rows(content: bytes) -> list[Any]:
    """Return the values of an ION file, text or binary, as plain values."""
    return [_plain(value) for value in simpleion.loads(content, single_value=False)]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if type(value).__name__ == "IonPyNull":
        return None
    if type(value).__name__ == "IonPyBool":
        return bool(value)
    if isinstance(value, datetime):
        return value
    kinds: tuple[Any, ...] = (int, float, str, bytes)
    for kind in kinds:
        if isinstance(value, kind):
            return kind(value)
    return float(value) if type(value).__name__ == "IonPyDecimal" else value


def _uris(actual: Any, where: str) -> list[str]:
    if isinstance(actual, Mapping):
        return [str(uri) for uri in actual.values()]
    if isinstance(actual, list):
        return [str(uri) for uri in actual]
    if isinstance(actual, str):
        return [actual]
    raise Mismatch(f"{where} is {actual!r}, expected URIs of stored files")


async def _read(actual: Any, files: Files, where: str) -> bytes:
    if not isinstance(actual, str):
        raise Mismatch(f"{where} is {actual!r}, expected the URI of a stored file")
    return await files.read_file(actual)


def _compare(found: Any, wanted: Any, where: str) -> None:
    if not same(found, wanted):
        raise Mismatch(f"The file at {where} holds {str(found)[:400]!r}, expected {str(wanted)[:400]!r}")


def _content(wanted: Any) -> Any:
    """Return the content of a file of the corpus where a case names one (`$file`), else the value."""
    if isinstance(wanted, str) and wanted.startswith("/") and Path(wanted).is_file():
        return Path(wanted).read_text("utf-8")
    return wanted


async def _file_equals(actual: Any, wanted: Any, files: Files, where: str) -> None:
    if hasattr(wanted, "url"):
        wanted = files.http_body(wanted.url)
    wanted = _content(wanted)
    content = await _read(actual, files, where)
    _compare(content if isinstance(wanted, bytes) else content.decode(), wanted, where)


async def _file_ends_with(actual: Any, wanted: Any, files: Files, where: str) -> None:
    content = (await _read(actual, files, where)).decode()
    if not content.endswith(wanted):
        raise Mismatch(f"The file at {where} holds {content[:400]!r}, expected it to end with {wanted!r}")


async def _file_lines(actual: Any, wanted: Any, files: Files, where: str) -> None:
    lines = (await _read(actual, files, where)).decode().splitlines()
    _compare(len(lines) if isinstance(wanted, int) else lines, wanted, where)


async def _first_value_equals(actual: Any, wanted: Any, files: Files, where: str) -> None:
    await _file_equals(_uris(actual, where)[0], wanted, files, where)


async def _ion_rows_equal(actual: Any, wanted: Any, files: Files, where: str) -> None:
    _compare(rows(await _read(actual, files, where)), wanted, where)


async def _ion_map_has(actual: Any, wanted: Any, files: Files, where: str) -> None:
    found = rows(await _read(actual, files, where))
    if len(found) != 1 or not isinstance(found[0], Mapping):
        raise Mismatch(f"The file at {where} holds {found!r}, expected one map")
    for key, value in wanted.items():
        _compare(found[0].get(key), value, f"{where}.{key}")


async def _concatenated(actual: Any, files: Files, where: str) -> bytes:
    return b"".join([await files.read_file(uri) for uri in _uris(actual, where)])


async def _concatenated_contains(actual: Any, wanted: Any, files: Files, where: str) -> None:
    content = (await _concatenated(actual, files, where)).decode()
    for item in wanted if isinstance(wanted, list) else [wanted]:
        if item not in content:
            raise Mismatch(f"The files at {where} hold {content[:400]!r}, expected {item!r} in them")


async def _concatenated_equals_input(actual: Any, wanted: Any, files: Files, where: str) -> None:
    source = files.input_file()
    expected = await files.read_file(source) if source else b""
    _compare(await _concatenated(actual, files, where), expected, where)


async def _all_newlines(actual: Any, wanted: Any, files: Files, where: str) -> None:
    _compare((await _concatenated(actual, files, where)).count(b"\n"), wanted, where)


async def _first_path_ends_with(actual: Any, wanted: Any, files: Files, where: str) -> None:
    first = _uris(actual, where)[0]
    if not first.endswith(wanted):
        raise Mismatch(f"The first URI of {where} is {first!r}, expected it to end with {wanted!r}")


async def _all_rows(actual: Any, files: Files, where: str) -> list[Any]:
    return [row for uri in _uris(actual, where) for row in rows(await files.read_file(uri))]


async def _all_ion_rows(actual: Any, wanted: Any, files: Files, where: str) -> None:
    _compare(len(await _all_rows(actual, files, where)), wanted, where)


async def _column_in_order(actual: Any, wanted: Any, files: Files, where: str) -> None:
    column = [row[wanted] for row in await _all_rows(actual, files, where)]
    _compare(column, sorted(column), where)


async def _column_values(actual: Any, wanted: Any, files: Files, where: str) -> None:
    found = await _all_rows(actual, files, where)
    for column, values in wanted.items():
        _compare([row[column] for row in found], values, f"{where}.{column}")


async def _decrypts_to(actual: Any, wanted: Any, files: Files, where: str) -> None:
    cipher = actual.get("value") if isinstance(actual, Mapping) else actual
    _compare(files.decrypt(str(cipher)), wanted, where)


MATCHERS: Final[dict[str, Callable[[Any, Any, Files, str], Awaitable[None]]]] = {
    "stored_file_equals": _file_equals,
    "stored_file_ends_with": _file_ends_with,
    "stored_file_lines": _file_lines,
    "first_value_stored_file_equals": _first_value_equals,
    "ion_rows_equal": _ion_rows_equal,
    "ion_map_has": _ion_map_has,
    "concatenated_equals_input": _concatenated_equals_input,
    "concatenated_contains": _concatenated_contains,
    "all_newlines": _all_newlines,
    "first_path_ends_with": _first_path_ends_with,
    "all_ion_rows": _all_ion_rows,
    "ion_column_in_order": _column_in_order,
    "ion_column_values": _column_values,
    "decrypts_to": _decrypts_to,
}
