"""Filters over lists and maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiercel.expression.printing import java_text, json_of, weigh
from tiercel.expression.runtime import Call
from tiercel.expression.signature import Args, Filter
from tiercel.expression.values import MapEntry, class_name, is_map, is_number, is_sequence, whole


def _list(value: Any, call: Call) -> list[Any]:
    if not is_sequence(value):
        raise call.fail(f"The '{call.name}' filter can only be applied to lists. Actual type was: {class_name(value)}")
    return list(value)


def _chunk(value: Any, args: Args, call: Call) -> Any:
    if value is None:
        return None
    if args.get("size") is None:
        raise call.fail("'chunk' filter expects an argument 'size'.")
    items, size = _list(value, call), whole(args["size"])
    if size <= 0:
        raise call.fail("'chunk' filter expects a positive 'size'.")
    return [items[at : at + size] for at in range(0, len(items), size)]


def _default(value: Any, args: Args, call: Call) -> Any:
    is_empty = value is None or (isinstance(value, str) and not value.strip())
    if is_empty or ((is_map(value) or is_sequence(value)) and not value):
        return args.get("default")
    return value


def _distinct(value: Any, args: Args, call: Call) -> Any:
    if value is None:
        # Kestra's filter answers with the word.
        return "null"
    # A text and a number that print alike are distinct.
    return list({(class_name(item), json_of(item)): item for item in _list(value, call)}.values())


def _first(value: Any, args: Args, call: Call) -> Any:
    return _end(value, 0, call)


def _last(value: Any, args: Args, call: Call) -> Any:
    return _end(value, -1, call)


def _end(value: Any, index: int, call: Call) -> Any:
    if value is None:
        return None
    items = value if isinstance(value, str) else _list(value, call)
    return items[index] if items else None


def _flatten(value: Any, args: Args, call: Call) -> Any:
    if value is None:
        return None
    if not isinstance(value, (list, tuple)):
        raise call.fail("The 'flatten' filter can only be applied to lists.")
    return [inner for item in value for inner in (item if isinstance(item, (list, tuple)) else (item,))]


def _join(value: Any, args: Args, call: Call) -> Any:
    if value is None:
        return None
    items = list(value.values()) if is_map(value) else _list(value, call)
    separator = args.get("separator")
    texts = [java_text(item) for item in items]
    joint = "" if separator is None else java_text(separator)
    call.meter.check_size(sum(map(len, texts)) + len(texts) * len(joint))
    return joint.join(texts)


def _keys(value: Any, args: Args, call: Call) -> Any:
    if value is None:
        return None
    if is_map(value):
        return list(value)
    if isinstance(value, (list, tuple)):
        return list(range(len(value)))
    raise call.fail(f"'keys' filter can only be applied to List, Map, Array. Actual type was: {class_name(value)}")


def _values(value: Any, args: Args, call: Call) -> Any:
    if value is None:
        return None
    if not is_map(value):
        raise call.fail(f"'values' filter can only be applied to Map. Actual type was: {class_name(value)}")
    return list(value.values())


def _length(value: Any, args: Args, call: Call) -> Any:
    is_sized = isinstance(value, str) or is_map(value) or is_sequence(value)
    return len(value) if is_sized else 0


def _merge(value: Any, args: Args, call: Call) -> Any:
    items = args.get("items")
    if value is None and items is None:
        raise call.fail("The two arguments to be merged are null")
    if value is None or items is None:
        return items if value is None else value
    if is_map(value):
        if is_map(items):
            return {**value, **items}
        return {**value, **{java_text(item): item for item in _list(items, call)}}
    if is_map(items):
        return [*_list(value, call), *(MapEntry(key=key, value=item) for key, item in items.items())]
    return [*_list(value, call), *_list(items, call)]


def _reverse(value: Any, args: Args, call: Call) -> Any:
    if isinstance(value, str):
        return value[::-1]
    return None if value is None else _list(value, call)[::-1]


def _sort(value: Any, args: Args, call: Call) -> Any:
    return None if value is None else _sorted(_list(value, call), call)


def _rsort(value: Any, args: Args, call: Call) -> Any:
    return None if value is None else _sorted(_list(value, call), call)[::-1]


def _sorted(items: list[Any], call: Call) -> list[Any]:
    weigh(items)
    if all(is_number(item) for item in items):
        return sorted(items, key=float)
    try:
        return sorted(items)
    except TypeError as error:
        raise call.fail(f"The '{call.name}' filter needs values that can be compared.") from error


def _slice(value: Any, args: Args, call: Call) -> Any:
    if value is None:
        return None
    items = value if isinstance(value, str) else _list(value, call)
    start, end = args.get("fromIndex"), args.get("toIndex")
    first = 0 if start is None else _index(start, "fromIndex", call)
    last = len(items) if end is None else _index(end, "toIndex", call)
    if not 0 <= first <= len(items):
        raise call.fail("fromIndex must be greater than 0 and not beyond the end")
    if last > len(items):
        raise call.fail(f"toIndex must be smaller than input size: {len(items)}")
    if end is not None and first >= last:
        raise call.fail("toIndex must be greater than fromIndex")
    return items[first:last]


def _index(value: Any, name: str, call: Call) -> int:
    if not is_number(value):
        raise call.fail(f"Argument {name} must be a number. Actual type: {class_name(value)}")
    return int(value)


FILTERS: Mapping[str, Filter] = {
    "chunk": Filter(_chunk, ("size",)),
    "default": Filter(_default, ("default",)),
    "distinct": Filter(_distinct),
    "first": Filter(_first),
    "flatten": Filter(_flatten),
    "join": Filter(_join, ("separator",)),
    "keys": Filter(_keys),
    "last": Filter(_last),
    "length": Filter(_length),
    "merge": Filter(_merge, ("items",)),
    "reverse": Filter(_reverse),
    "rsort": Filter(_rsort),
    "slice": Filter(_slice, ("fromIndex", "toIndex")),
    "sort": Filter(_sort),
    "values": Filter(_values),
}
