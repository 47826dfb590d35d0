"""The tests that may follow `is` and `is not`; `defined` is compiled apart, since it must see a missing name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiercel.expression import json_text
from tiercel.expression.operators import equal
from tiercel.expression.runtime import Call
from tiercel.expression.signature import Args, Filter
from tiercel.expression.values import is_map, is_number, is_sequence


def _is_empty(value: Any, args: Args, call: Call) -> bool:
    if value is None:
        return True
    if isinstance(value, str):
        return not value.strip()
    return (is_map(value) or is_sequence(value)) and not value


def _is_even(value: Any, args: Args, call: Call) -> bool:
    return _whole(value, "even", call) % 2 == 0


def _is_odd(value: Any, args: Args, call: Call) -> bool:
    return _whole(value, "odd", call) % 2 == 1


def _whole(value: Any, test: str, call: Call) -> int:
    if value is None:
        raise call.fail(f"Can not pass null value to '{test}' test.")
    if not is_number(value):
        raise call.fail(f"The '{test}' test needs a number.")
    return int(value)


def _is_json(value: Any, args: Args, call: Call) -> bool:
    if is_map(value) or isinstance(value, list):
        return True
    if not isinstance(value, str):
        return False
    try:
        json_text.loads(value)
    except ValueError:
        return False
    return True


TESTS: Mapping[str, Filter] = {
    "empty": Filter(_is_empty),
    "even": Filter(_is_even),
    "odd": Filter(_is_odd),
    "iterable": Filter(lambda value, args, call: is_sequence(value)),
    "map": Filter(lambda value, args, call: is_map(value)),
    "null": Filter(lambda value, args, call: value is None),
    "equals": Filter(lambda value, args, call: equal(value, args.get("value")), ("value",)),
    "json": Filter(_is_json),
    "defined": Filter(lambda value, args, call: value is not None),
}
