"""
The methods that an expression may call on texts, lists, maps and numbers: `files.size()`, `name.toUpperCase()`.

Kestra's templates reach Java's own methods. Here is the closed list of those that only read a value, each written
out: no name in an expression ever leads to a method of a Python object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tiercel.expression import java_regex
from tiercel.expression.operators import equal, holds
from tiercel.expression.printing import java_text
from tiercel.expression.runtime import Call
from tiercel.expression.values import Char, Long, MapEntry, is_map, is_number, is_sequence, whole

Body = Callable[[Any, Sequence[Any], Call], Any]


class Method(msgspec.Struct, frozen=True):
    """A method: what it does with a value, and how many arguments it takes."""

    apply: Body
    arguments_min: int = 0
    arguments_max: int = 0


def _plain(action: Callable[..., Any], least: int = 0, most: int | None = None) -> Method:
    """Make a method of a function of the value and its arguments."""
    return Method(lambda value, args, call: action(value, *args), least, least if most is None else most)


def _text(action: Callable[..., Any], least: int = 0, most: int | None = None) -> Method:
    """Make a method whose arguments are texts."""
    return Method(
        lambda value, args, call: action(value, *map(java_text, args)), least, least if most is None else most
    )


def _at(items: Any, index: Any) -> Any:
    place = whole(index)
    if not 0 <= place < len(items):
        raise IndexError(f"Index {place} out of bounds for length {len(items)}")
    return items[place]


def _part(items: Any, start: Any, end: Any = None) -> Any:
    first, last = whole(start), len(items) if end is None else whole(end)
    if not 0 <= first <= last <= len(items):
        raise IndexError(f"begin {first}, end {last}, length {len(items)}")
    return items[first:last]


def _found(items: Any, wanted: Any) -> Long:
    return Long(next((index for index, item in enumerate(items) if equal(item, wanted)), -1))


def _found_last(items: Any, wanted: Any) -> Long:
    last = len(items) - 1
    return Long(next((last - index for index, item in enumerate(reversed(items)) if equal(item, wanted)), -1))


def _holds_all(items: Any, args: Sequence[Any], call: Call) -> bool:
    (wanted,) = args
    if not is_sequence(wanted):
        raise call.fail("The method 'containsAll()' takes a list.")
    return all(holds(items, one, call.meter) for one in wanted)


def _entries(value: Mapping[Any, Any]) -> list[MapEntry]:
    return [MapEntry(key=key, value=item) for key, item in value.items()]


def _replace_all(value: Any, args: Sequence[Any], call: Call) -> str:
    return java_regex.replace_all(java_text(args[0]), value, java_text(args[1]), call.meter)


def _replace(value: Any, args: Sequence[Any], call: Call) -> str:
    old, new = map(java_text, args)
    call.meter.check_size(len(value) + (value.count(old) * max(0, len(new) - len(old))))
    return str(value.replace(old, new))


def _repeat(value: Any, args: Sequence[Any], call: Call) -> str:
    count = whole(args[0])
    if count < 0:
        raise ValueError(f"count is negative: {count}")
    call.meter.check_size(len(value) * count)
    return str(value * count)


def _split(value: Any, args: Sequence[Any], call: Call) -> list[str]:
    limit = whole(args[1]) if len(args) > 1 else 0
    if not value:
        return [""]
    pieces = java_regex.split(java_text(args[0]), value, limit, call.meter)
    while limit == 0 and len(pieces) > 1 and not pieces[-1]:
        pieces.pop()
    return pieces


def _compared(left: str, right: str) -> Long:
    for first, second in zip(left, right, strict=False):
        if first != second:
            return Long(ord(first) - ord(second))
    return Long(len(left) - len(right))


_OF_ANY: Mapping[str, Method] = {
    "equals": _plain(equal, 1),
    "toString": _plain(java_text),
}
_OF_TEXTS: Mapping[str, Method] = {
    "charAt": _plain(lambda text, index: Char(_at(text, index)), 1),
    "compareTo": _text(_compared, 1),
    "compareToIgnoreCase": _text(lambda left, right: _compared(left.lower(), right.lower()), 1),
    "concat": _text(lambda left, right: left + right, 1),
    "contains": _text(lambda text, part: part in text, 1),
    "endsWith": _text(str.endswith, 1),
    "equalsIgnoreCase": _text(lambda left, right: left.lower() == right.lower(), 1),
    "indexOf": _text(lambda text, part: Long(text.find(part)), 1),
    "isBlank": _plain(lambda text: not text.strip()),
    "isEmpty": _plain(lambda text: not text),
    "lastIndexOf": _text(lambda text, part: Long(text.rfind(part)), 1),
    "length": _plain(lambda text: Long(len(text))),
    "lines": _plain(str.splitlines),
    "matches": _text(lambda text, pattern: java_regex.full_match(pattern, text), 1),
    "repeat": Method(_repeat, 1, 1),
    "replace": Method(_replace, 2, 2),
    "replaceAll": Method(_replace_all, 2, 2),
    "split": Method(_split, 1, 2),
    "startsWith": _text(str.startswith, 1),
    "strip": _plain(str.strip),
    "stripLeading": _plain(str.lstrip),
    "stripTrailing": _plain(str.rstrip),
    "substring": _plain(_part, 1, 2),
    "toLowerCase": _plain(str.lower),
    "toUpperCase": _plain(str.upper),
    "trim": _plain(str.strip),
}
_OF_LISTS: Mapping[str, Method] = {
    "contains": Method(lambda items, args, call: holds(items, args[0], call.meter), 1, 1),
    "containsAll": Method(_holds_all, 1, 1),
    "get": _plain(_at, 1),
    "getFirst": _plain(lambda items: _at(items, 0)),
    "getLast": _plain(lambda items: _at(items, len(items) - 1)),
    "indexOf": _plain(_found, 1),
    "isEmpty": _plain(lambda items: not items),
    "lastIndexOf": _plain(_found_last, 1),
    "reversed": _plain(lambda items: items[::-1]),
    "size": _plain(lambda items: Long(len(items))),
    "subList": _plain(_part, 2),
}
_OF_MAPS: Mapping[str, Method] = {
    "containsKey": _plain(lambda value, key: java_text(key) in value, 1),
    "containsValue": _plain(lambda value, wanted: any(equal(item, wanted) for item in value.values()), 1),
    "entrySet": _plain(_entries),
    "get": _plain(lambda value, key: value.get(java_text(key)), 1),
    "getOrDefault": _plain(lambda value, key, other: value.get(java_text(key), other), 2),
    "isEmpty": _plain(lambda value: not value),
    "keySet": _plain(list),
    "size": _plain(lambda value: Long(len(value))),
    "values": _plain(lambda value: list(value.values())),
}
_OF_ENTRIES: Mapping[str, Method] = {
    "getKey": _plain(lambda entry: entry["key"]),
    "getValue": _plain(lambda entry: entry["value"]),
}
_OF_NUMBERS: Mapping[str, Method] = {
    "doubleValue": _plain(float),
    "intValue": _plain(int),
    "longValue": _plain(lambda number: Long.wrap(int(number))),
}
# What Java's getters let a template write as if it were an attribute: `name.length`, `files.empty`.
_AS_ATTRIBUTE: Mapping[str, str] = {
    "blank": "isBlank",
    "empty": "isEmpty",
    "first": "getFirst",
    "last": "getLast",
    "length": "length",
    "size": "size",
}


def of(value: Any, name: str) -> Method | None:
    """Return a value's method, None when it has none of this name."""
    own: Mapping[str, Method] = {}
    if isinstance(value, str):
        own = _OF_TEXTS
    elif isinstance(value, MapEntry):
        own = _OF_ENTRIES
    elif is_map(value):
        own = _OF_MAPS
    elif is_sequence(value):
        own = _OF_LISTS
    elif is_number(value):
        own = _OF_NUMBERS
    return own.get(name) or _OF_ANY.get(name)


def getter(value: Any, name: str) -> Method | None:
    """Return the method that an attribute of a text or list stands for; a map has its entries only."""
    if name not in _AS_ATTRIBUTE or not (isinstance(value, str) or is_sequence(value)):
        return None
    return of(value, _AS_ATTRIBUTE[name])


def called(value: Any, name: str, method: Method, args: Sequence[Any], call: Call) -> Any:
    """Call a method; raise EvaluationFailed for a wrong number of arguments."""
    if not method.arguments_min <= len(args) <= method.arguments_max:
        wanted = " to ".join(map(str, sorted({method.arguments_min, method.arguments_max})))
        raise call.fail(f"The method '{name}()' takes {wanted} arguments, but got {len(args)}.")
    items = list(value) if is_sequence(value) else value
    return method.apply(items, args, call)
