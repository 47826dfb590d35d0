"""
Matchers: what a case says of a value.

A scalar or a list means equality. A mapping is made of matchers (`contains`, `size` …) and of paths into it, each
with what is expected there. A name that is a key of the value is a path, except for `equals` and `not`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from tests.conformance.equality import same
from tests.conformance.files import MATCHERS as FILE_MATCHERS
from tests.conformance.files import Files
from tests.conformance.paths import ABSENT, Absent, walk
from tests.conformance.result import Mismatch
from tests.conformance.values import HttpBody, duration, instant

_ALWAYS: Final = frozenset({"equals", "not"})


async def match(actual: Any, expected: Any, files: Files, where: str = "value") -> None:
    """Raise Mismatch with a sentence unless the value is what the case says."""
    if not isinstance(expected, Mapping):
        _equal(actual, expected, files, where)
        return
    for name, wanted in expected.items():
        key = str(name)
        is_path = isinstance(actual, Mapping) and key in actual and key not in _ALWAYS
        if not is_path and key in SIMPLE:
            SIMPLE[key](actual, wanted, files, where)
        elif not is_path and key in NESTED:
            await NESTED[key](actual, wanted, files, where)
        elif not is_path and key in FILE_MATCHERS:
            await FILE_MATCHERS[key](actual, wanted, files, where)
        else:
            await match(walk(actual, key), wanted, files, f"{where}.{key}")


def short(value: Any) -> str:
    """Return a value as text that fits into a report."""
    text = repr(value)
    return text if len(text) <= 400 else text[:400] + "…"


def fail(actual: Any, where: str, claim: str) -> None:
    """Raise Mismatch: the value at `where` does not fulfil the claim."""
    raise Mismatch(f"{where} is {short(actual)}, expected {claim}")


def _equal(actual: Any, expected: Any, files: Files, where: str) -> None:
    if expected is None and isinstance(actual, Absent):
        return
    if isinstance(expected, HttpBody):
        expected = files.http_body(expected.url)
    if isinstance(actual, Absent) or not same(actual, expected):
        fail(actual, where, short(expected))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _contains(actual: Any, wanted: Any, files: Files, where: str) -> None:
    for item in wanted if isinstance(wanted, list) else [wanted]:
        if _is_text(actual):
            found = str(item) in actual
        elif isinstance(actual, Mapping):
            found = item in actual
        else:
            found = isinstance(actual, list | tuple) and any(same(one, item) for one in actual)
        if not found:
            fail(actual, where, f"to contain {short(item)}")


def _not_contains(actual: Any, wanted: Any, files: Files, where: str) -> None:
    for item in wanted if isinstance(wanted, list) else [wanted]:
        if isinstance(actual, Absent | None):
            continue
        if (str(item) in actual) if _is_text(actual) else any(same(one, item) for one in actual):
            fail(actual, where, f"not to contain {short(item)}")


def _not(actual: Any, wanted: Any, files: Files, where: str) -> None:
    if same(actual, wanted):
        fail(actual, where, f"anything but {short(wanted)}")


def _starts_with(actual: Any, wanted: Any, files: Files, where: str) -> None:
    if not (_is_text(actual) and actual.startswith(wanted)):
        fail(actual, where, f"to start with {short(wanted)}")


def _ends_with(actual: Any, wanted: Any, files: Files, where: str) -> None:
    if not (_is_text(actual) and actual.endswith(wanted)):
        fail(actual, where, f"to end with {short(wanted)}")


def _matches(actual: Any, wanted: Any, files: Files, where: str) -> None:
    if not (_is_text(actual) and re.fullmatch(wanted, actual, re.DOTALL)):
        fail(actual, where, f"to match {wanted}")


def _null(actual: Any, wanted: Any, files: Files, where: str) -> None:
    if (actual is None or isinstance(actual, Absent)) != bool(wanted):
        fail(actual, where, "null" if wanted else "not null")


def _not_null(actual: Any, wanted: Any, files: Files, where: str) -> None:
    _null(actual, not wanted, files, where)


def _blank(actual: Any, wanted: Any, files: Files, where: str) -> None:
    if (_is_text(actual) and actual.strip() != "") != bool(wanted):
        fail(actual, where, "a text that is not blank")


def _not_empty(actual: Any, wanted: Any, files: Files, where: str) -> None:
    if bool(actual) != bool(wanted):
        fail(actual, where, "not to be empty")


def _size_of(actual: Any, where: str) -> int:
    if not isinstance(actual, str | list | tuple | Mapping):
        fail(actual, where, "something that has a size")
    return len(actual)


def _size(actual: Any, wanted: Any, files: Files, where: str) -> None:
    if _size_of(actual, where) != wanted:
        fail(actual, where, f"size {wanted} and not {len(actual)}")


def _size_min(actual: Any, wanted: Any, files: Files, where: str) -> None:
    if _size_of(actual, where) < wanted:
        fail(actual, where, f"size {wanted} or more")


def _has_keys(actual: Any, wanted: Any, files: Files, where: str) -> None:
    if not isinstance(actual, Mapping) or not all(key in actual for key in wanted):
        fail(actual, where, f"to have the keys {wanted}")


def _has_items(actual: Any, wanted: Any, files: Files, where: str) -> None:
    if not isinstance(actual, list | tuple) or not all(any(same(one, item) for one in actual) for item in wanted):
        fail(actual, where, f"to have the items {short(wanted)}")


def _any_order(actual: Any, wanted: Any, files: Files, where: str) -> None:
    left = list(actual) if isinstance(actual, list | tuple) else [ABSENT]
    for item in wanted:
        found = next((one for one in left if same(one, item)), ABSENT)
        if isinstance(found, Absent):
            fail(actual, where, f"the items {short(wanted)} in any order")
        left.remove(found)
    if left:
        fail(actual, where, f"the items {short(wanted)} in any order and no others")


def _any_of(actual: Any, wanted: Any, files: Files, where: str) -> None:
    if not any(same(actual, item) for item in wanted):
        fail(actual, where, f"one of {short(wanted)}")


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        fail(value, where, "a number")
    return float(value)


def _compared(claim: str, holds: Callable[[float, float], bool]) -> Callable[[Any, Any, Files, str], None]:
    def compare(actual: Any, wanted: Any, files: Files, where: str) -> None:
        if not holds(_number(actual, where), float(wanted)):
            fail(actual, where, f"{claim} {wanted}")

    return compare


def _between(actual: Any, wanted: Any, files: Files, where: str) -> None:
    if not wanted[0] <= _number(actual, where) <= wanted[1]:
        fail(actual, where, f"between {wanted[0]} and {wanted[1]}")


def _near_now(actual: Any, wanted: Any, files: Files, where: str) -> None:
    found = instant(str(actual)) if isinstance(actual, str) else actual
    if abs(files.now() - found) > duration(wanted):
        fail(actual, where, f"within {wanted} of {files.now()}")


def _exists(actual: Any, wanted: Any, files: Files, where: str) -> None:
    if isinstance(actual, Absent) == bool(wanted):
        fail(actual, where, "to be there" if wanted else "not to be there")


SIMPLE: Final[dict[str, Callable[[Any, Any, Files, str], None]]] = {
    "equals": lambda actual, wanted, files, where: _equal(actual, wanted, files, where),
    "not": _not,
    "contains": _contains,
    "not_contains": _not_contains,
    "starts_with": _starts_with,
    "ends_with": _ends_with,
    "path_ends_with": _ends_with,
    "matches": _matches,
    "any_of": _any_of,
    "null": _null,
    "not_null": _not_null,
    "not_blank": _blank,
    "not_empty": _not_empty,
    "size": _size,
    "size_min": _size_min,
    "has_keys": _has_keys,
    "has_items": _has_items,
    "items_in_any_order": _any_order,
    "greater_than": _compared("greater than", lambda actual, wanted: actual > wanted),
    "at_least": _compared("at least", lambda actual, wanted: actual >= wanted),
    "min": _compared("at least", lambda actual, wanted: actual >= wanted),
    "between": _between,
    "zoned_datetime_near_now": _near_now,
    "exists": _exists,
}


async def _each(actual: Any, wanted: Any, files: Files, where: str) -> None:
    if not isinstance(actual, list | tuple):
        fail(actual, where, "a list")
    for place, item in enumerate(actual):
        await match(item, wanted, files, f"{where}[{place}]")


async def holds(actual: Any, wanted: Any, files: Files) -> bool:
    """Tell whether a value is what a case says."""
    try:
        await match(actual, wanted, files)
    except Mismatch:
        return False
    return True


async def _some(actual: Any, wanted: Any, files: Files, where: str) -> None:
    for item in actual if isinstance(actual, list | tuple) else ():
        if await holds(item, wanted, files):
            return
    fail(actual, where, f"an element that is {short(wanted)}")


async def _count_where(actual: Any, wanted: Any, files: Files, where: str) -> None:
    for claim in wanted if isinstance(wanted, list) else [wanted]:
        body = {key: value for key, value in claim.items() if key != "count"}
        count = sum([await holds(item, body, files) for item in actual])
        if count != claim["count"]:
            fail(actual, where, f"{claim['count']} elements that are {short(body)} and not {count}")


async def _json_text(actual: Any, wanted: Any, files: Files, where: str) -> None:
    try:
        value = json.loads(actual)
    except (TypeError, ValueError):
        raise Mismatch(f"{where} is {short(actual)}, expected a text that is JSON") from None
    await match(value, wanted, files, f"{where} (as JSON)")


NESTED: Final[dict[str, Callable[[Any, Any, Files, str], Awaitable[None]]]] = {
    "each": _each,
    "some": _some,
    "count_where": _count_where,
    "json_text": _json_text,
    "json_object_has": _json_text,
}
