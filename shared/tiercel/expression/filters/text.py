"""Filters over texts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from tiercel.expression import java_regex
from tiercel.expression.printing import java_text, text_of, weigh
from tiercel.expression.runtime import Call
from tiercel.expression.signature import Args, Filter
from tiercel.expression.values import class_name, is_map, is_sequence, whole

_ELLIPSIS = "..."
# What Java's trim() takes away: control characters and the blank, but no other space of Unicode.
_TRIMMED = "".join(map(chr, range(0x21)))


def _on_text(action: Callable[[str], str]) -> Filter:
    return Filter(lambda value, args, call: None if value is None else action(java_text(value)))


def _abbreviate(value: Any, args: Args, call: Call) -> Any:
    if value is None:
        return None
    width, text = whole(_needed(args, "length", call)), java_text(value)
    if width < 0:
        raise call.fail("Invalid length argument for abbreviate filter; must be greater than zero.")
    if len(text) < width or len(text) <= len(_ELLIPSIS):
        return text
    return text[: width - len(_ELLIPSIS)] + _ELLIPSIS if width > len(_ELLIPSIS) else text[:width]


def _needed(args: Args, name: str, call: Call) -> Any:
    if args.get(name) is None:
        raise call.fail(f"The argument '{name}' is required.")
    return args[name]


def _capitalized(text: str) -> str:
    rest = text.lstrip()
    return text[: len(text) - len(rest)] + rest[:1].upper() + rest[1:]


def _titled(text: str) -> str:
    return re.sub(r"(^|\s)(\S)", lambda found: found.group(1) + found.group(2).upper(), text)


def _slug(text: str) -> str:
    normal = unicodedata.normalize("NFD", re.sub(r"\s", "-", text))
    dashed = re.sub(r"[^A-Za-z0-9_-]", "", normal).replace("_", "-").lower()
    return re.sub("-+", "-", dashed).strip("-")


def _substring(cut: Callable[[str, str], str]) -> Filter:
    def apply(value: Any, args: Args, call: Call) -> Any:
        if value is None:
            return None
        if "separator" not in args:
            raise call.fail(f"The '{call.name}' filter expects an argument 'separator'.")
        return cut(java_text(value), java_text(args["separator"]))

    return Filter(apply, ("separator",))


# As in Apache Commons: a text without the separator is whole "before" it and empty "after" it.
def _before(text: str, separator: str) -> str:
    return text.partition(separator)[0] if separator else ""


def _before_last(text: str, separator: str) -> str:
    return text.rpartition(separator)[0] if separator and separator in text else text


def _after(text: str, separator: str) -> str:
    return text.partition(separator)[2] if separator else text


def _after_last(text: str, separator: str) -> str:
    return text.rpartition(separator)[2] if separator and separator in text else ""


def _starts_with(value: Any, args: Args, call: Call) -> Any:
    return _edge(value, args, call, str.startswith)


def _ends_with(value: Any, args: Args, call: Call) -> Any:
    return _edge(value, args, call, str.endswith)


def _edge(value: Any, args: Args, call: Call, test: Callable[[str, str], bool]) -> Any:
    if value is None:
        return None
    if "value" not in args:
        raise call.fail(f"The '{call.name}' filter expects an argument 'value'.")
    return test(java_text(value), java_text(args["value"]))


def _line_break(text: str) -> str:
    return next((mark for mark in ("\r\n", "\n\r", "\n", "\r") if mark in text), "\n")


def _indent(value: Any, args: Args, call: Call) -> Any:
    return _indented(value, args, call, "")


def _nindent(value: Any, args: Args, call: Call) -> Any:
    return _indented(value, args, call, "\n")


def _indented(value: Any, args: Args, call: Call, lead: str) -> Any:
    if value is None:
        return None
    text = text_of(value)
    if not text:
        return text
    if "amount" not in args:
        raise call.fail(f"The '{call.name}' filter expects an integer as argument 'amount'.")
    amount = whole(args["amount"])
    if amount < 0:
        raise call.fail(f"The '{call.name}' filter expects a positive integer >=0 as argument 'amount'.")
    mark, prefix = _line_break(text), java_text(args.get("prefix", " "))
    text = mark + text if lead else text
    if mark not in text:
        return text
    call.meter.check_size(len(text) + text.count(mark) * amount * len(prefix))
    return text.replace(mark, mark + prefix * amount)


_ESCAPES = {"single": ("'", "\\'"), "double": ('"', '\\"'), "shell": ("'", "'\\''")}


def _escape_char(value: Any, args: Args, call: Call) -> Any:
    if value is None:
        return None
    if "type" not in args:
        raise call.fail("The 'escapeChar' filter expects an argument 'type'.")
    escape = _ESCAPES.get(java_text(args["type"]).lower())
    if escape is None:
        raise call.fail(
            "The 'escapeChar' filter expects the value of 'type' to be either 'single', 'double', or 'shell'."
        )
    return deep_text(value, lambda text: text.replace(*escape))


def deep_text(value: Any, action: Callable[[str], str]) -> Any:
    """Change every text in maps and lists; other values are taken as text."""
    weigh(value)
    return _deep_text(value, action)


def _deep_text(value: Any, action: Callable[[str], str]) -> Any:
    if is_map(value):
        return {key: _deep_text(item, action) for key, item in value.items()}
    if is_sequence(value):
        return [_deep_text(item, action) for item in value]
    return action(java_text(value))


def _split(value: Any, args: Args, call: Call) -> Any:
    if value is None:
        return None
    text, delimiter = java_text(value), java_text(_needed(args, "delimiter", call))
    limit = whole(args.get("limit") or 0)
    if not text:
        return [""]
    pieces = java_regex.split(delimiter, text, limit, call.meter)
    while limit == 0 and len(pieces) > 1 and not pieces[-1]:
        pieces.pop()
    return pieces


def _class_name(value: Any, args: Args, call: Call) -> Any:
    return None if value is None else class_name(value)


FILTERS: Mapping[str, Filter] = {
    "abbreviate": Filter(_abbreviate, ("length",)),
    "capitalize": _on_text(_capitalized),
    "className": Filter(_class_name),
    "endsWith": Filter(_ends_with, ("value",)),
    "escapeChar": Filter(_escape_char, ("type",)),
    "indent": Filter(_indent, ("amount", "prefix")),
    "lower": _on_text(str.lower),
    "nindent": Filter(_nindent, ("amount", "prefix")),
    "slugify": _on_text(_slug),
    "split": Filter(_split, ("delimiter", "limit")),
    "startsWith": Filter(_starts_with, ("value",)),
    "string": _on_text(str),
    "substringAfter": _substring(_after),
    "substringAfterLast": _substring(_after_last),
    "substringBefore": _substring(_before),
    "substringBeforeLast": _substring(_before_last),
    "title": _on_text(_titled),
    "trim": _on_text(lambda text: text.strip(_TRIMMED)),
    "upper": _on_text(str.upper),
}
