"""
Turns rendered properties into the types that tasks and inputs want.

A property is written as a scalar, a list or a map; it may also be one expression, or JSON text with expressions in
it, that renders to a list or a map.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from tiercel.expression import json_text
from tiercel.expression.dates import reading
from tiercel.expression.failure import EvaluationFailed
from tiercel.expression.printing import java_text, text_of
from tiercel.expression.rendering import Renderer
from tiercel.expression.values import is_map, is_number, is_sequence
from tiercel.model.duration import parse_duration

_LIST, _MAP = "list<", "map<"


def render_property(renderer: Renderer, raw: Any, context: Mapping[str, Any], kind: str) -> Any:
    """
    Render a property and convert it.

    `kind` is string, integer, long, double, boolean, duration, date, datetime, object, list<kind> or
    map<string,kind>. A property that is not given is null, an empty list or an empty map.
    """
    if kind.startswith(_LIST):
        return _list(renderer, raw, context, kind[len(_LIST) : -1].strip())
    if kind.startswith(_MAP):
        return _map(renderer, raw, context, kind[len(_MAP) : -1].partition(",")[2].strip())
    if raw is None:
        return None
    value = renderer.render_value(raw, context)
    return None if value is None else converted(value, kind)


def _list(renderer: Renderer, raw: Any, context: Mapping[str, Any], item: str) -> list[Any]:
    value = _structure(renderer, raw, context)
    if value is None:
        return []
    if not is_sequence(value):
        raise EvaluationFailed(f"A list is expected, but the property renders to `{text_of(value)}`.")
    return [None if element is None else converted(element, item) for element in value]


def _map(renderer: Renderer, raw: Any, context: Mapping[str, Any], item: str) -> dict[str, Any]:
    value = _structure(renderer, raw, context)
    if value is None:
        return {}
    if not is_map(value):
        raise EvaluationFailed(f"A map is expected, but the property renders to `{text_of(value)}`.")
    return {java_text(key): None if element is None else converted(element, item) for key, element in value.items()}


def _structure(renderer: Renderer, raw: Any, context: Mapping[str, Any]) -> Any:
    value = None if raw is None else renderer.render_value(raw, context)
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return json_text.loads(value)
    except ValueError as error:
        raise EvaluationFailed(f"A list or map in JSON is expected, but the property renders to `{value}`.") from error


def converted(value: Any, kind: str) -> Any:
    """Convert a rendered value to a scalar kind; raise EvaluationFailed when it has no such value."""
    try:
        return _converted(value, kind)
    except (ValueError, TypeError, OverflowError) as error:
        raise EvaluationFailed(f"`{text_of(value)}` cannot be read as {kind}.") from error


def _converted(value: Any, kind: str) -> Any:
    match kind.lower():
        case "string":
            return text_of(value)
        case "integer" | "int" | "long":
            return int(value) if is_number(value) else int(java_text(value).strip())
        case "double" | "float" | "number":
            return float(value) if is_number(value) else float(java_text(value).strip())
        case "boolean" | "bool":
            return _boolean(value)
        case "duration":
            return parse_duration(value)
        case "date":
            found = value if isinstance(value, date) else reading.iso(java_text(value))
            return found.date() if isinstance(found, datetime) else found
        case "datetime":
            return value if isinstance(value, datetime) else reading.iso(java_text(value))
        case _:
            return _parsed(value) if isinstance(value, str) else value


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = java_text(value).strip().lower()
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


def _parsed(text: str) -> Any:
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return json_text.loads(text)
    except ValueError:
        # A text may begin with a brace and still be no JSON.
        return text


def select_options(renderer: Renderer, expression: str, context: Mapping[str, Any]) -> list[Any]:
    """Return what a SELECT may choose from: the list an expression renders to, as texts or `{label, value}`."""
    value = renderer.render_typed(expression.strip(), context)
    if isinstance(value, str):
        try:
            value = json_text.loads(value)
        except ValueError as error:
            raise EvaluationFailed(f"The expression `{expression}` must give a list, but gives `{value}`.") from error
    if not is_sequence(value):
        raise EvaluationFailed(f"The expression `{expression}` must give a list, but gives `{text_of(value)}`.")
    return [_option(item) for item in value if item is not None]


def _option(item: Any) -> Any:
    if is_map(item) and "value" in item:
        return {name: None if entry is None else text_of(entry) for name, entry in item.items()}
    return text_of(item)
