"""Filters that look for a text or a regular expression."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiercel.expression import java_regex
from tiercel.expression.filters.text import deep_text
from tiercel.expression.printing import java_text
from tiercel.expression.runtime import Call
from tiercel.expression.signature import Args, Filter
from tiercel.expression.values import is_map, whole


def _argument(args: Args, name: str, call: Call) -> str:
    if args.get(name) is None:
        raise call.fail(f"The argument '{name}' is required.")
    return java_text(args[name])


def _replace(value: Any, args: Args, call: Call) -> Any:
    if value is None:
        return None
    pairs = args.get("replace_pairs")
    if pairs is None:
        raise call.fail("The argument 'replace_pairs' is required.")
    if not is_map(pairs):
        raise call.fail("The argument 'replace_pairs' must be a map.")
    is_pattern = bool(args.get("regexp", False))
    wanted = [(java_text(key), java_text(item)) for key, item in pairs.items()]

    def replaced(text: str) -> str:
        for old, new in wanted:
            text = java_regex.replace_all(old, text, new, call.meter) if is_pattern else _plain(text, old, new, call)
        return text

    return deep_text(value, replaced)


def _plain(text: str, old: str, new: str, call: Call) -> str:
    count = text.count(old)
    call.meter.check_size(len(text) + count * (len(new) - len(old)))
    return text.replace(old, new)


def _regex_match(value: Any, args: Args, call: Call) -> Any:
    if value is None:
        return False
    return java_regex.find(_argument(args, "regex", call), java_text(value)) is not None


def _regex_replace(value: Any, args: Args, call: Call) -> Any:
    if value is None:
        return None
    pattern = _argument(args, "regex", call)
    return java_regex.replace_all(pattern, java_text(value), _argument(args, "replacement", call), call.meter)


def _regex_extract(value: Any, args: Args, call: Call) -> Any:
    if value is None:
        return None
    found = java_regex.find(_argument(args, "regex", call), java_text(value))
    group = whole(args.get("group") or 0)
    if found is None:
        return None
    if not 0 <= group <= found.re.groups:
        raise call.fail(f"Group index {group} is out of bounds; the pattern has {found.re.groups} groups.")
    return found.group(group)


FILTERS: Mapping[str, Filter] = {
    "regexExtract": Filter(_regex_extract, ("regex", "group")),
    "regexMatch": Filter(_regex_match, ("regex",)),
    "regexReplace": Filter(_regex_replace, ("regex", "replacement")),
    "replace": Filter(_replace, ("replace_pairs", "regexp")),
}
