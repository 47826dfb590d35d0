"""
Annotations to JSON schemas, as `tiercel.flowspec.annotationbinder` makes them into binders: both must say the same.

A binder is kind (`"5"` is a whole number, `5` a text), and so is the schema: an editor must not mark what runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from enum import Enum
from typing import Any, Final, get_args, get_origin

import msgspec

from tiercel.flowspec.annotation import AnnotationReader, union_parts
from tiercel.model.property import Dynamic, Labels, NotBlank, NotEmpty

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": ["string", "number", "boolean"]}
EXPRESSION: Final[Schema] = {"type": "string", "pattern": r"\{\{|\{%"}
_SCALARS: Final[dict[Any, Schema]] = {
    Any: {},
    object: {},
    str: TEXT,
    int: {"type": ["integer", "string"]},
    float: {"type": ["number", "string"]},
    bool: {"type": ["boolean", "string"], "pattern": r"^\s*([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])\s*$"},
    timedelta: {"type": ["string", "number"], "examples": ["PT30S", "P1D"]},
    datetime: {"type": ["string", "number"], "examples": ["2026-01-31T10:00:00+01:00"]},
    date: {"type": ["string", "number"], "examples": ["2026-01-31"]},
    time: {"type": ["string", "number"], "examples": ["10:00:00"]},
}


class AnnotationSchemas(AnnotationReader[Schema]):
    """Makes schemas of what binders accept; null is left aside."""

    def _scalar(self, annotation: Any) -> Schema | None:
        scalar = _SCALARS.get(annotation)
        return None if scalar is None else dict(scalar)

    def _union(self, parts: list[Any]) -> Schema:
        return any_of([self.of(part) for part in parts])

    def _items(self, item: Schema, container: type[Any]) -> Schema:
        return {"type": "array", **({"items": item} if item else {})}

    def _entries(self, entry: Schema) -> Schema:
        return {"type": "object", **({"additionalProperties": entry} if entry else {})}

    def _enum(self, cls: type[Enum]) -> Schema:
        return {"enum": [member.value for member in cls]}

    def _annotated(self, inner: Any, marks: list[Any]) -> Schema:
        if any(isinstance(mark, Labels) for mark in marks):
            return _labels()
        dynamic = any(isinstance(mark, Dynamic) for mark in marks)
        schema = self._dynamic(inner) if dynamic else self.of(inner)
        for mark in marks:
            schema |= _bounds(mark)
        return schema

    def _dynamic(self, annotation: Any) -> Schema:
        """Return what is accepted where an expression may stand in the place of a value."""
        parts = union_parts(annotation)
        if Any in parts or object in parts:
            return {}
        kinds = [kind for cls, kind in ((bool, "boolean"), (int, "integer"), (float, "number")) if cls in parts]
        simple = {"type": _types([*kinds, "string", "number", "boolean"])}
        checked = [part for part in parts if isinstance(part, type) and issubclass(part, Enum)]
        if checked and not {timedelta, datetime, date, time}.intersection(parts):
            members = [member.value for part in checked for member in part]
            choices = [{"enum": members}, dict(EXPRESSION), {"type": ["number", "boolean"]}]
        else:
            if timedelta in parts:
                simple["examples"] = ["PT30S"]
            choices = [simple]
        for container in (dict, list):
            inside = self._inside(parts, container)
            if inside is not None:
                choices.append(inside)
        return any_of(choices)

    def _inside(self, parts: Sequence[Any], container: type[Any]) -> Schema | None:
        """Return the schema of a map (or a list) in a dynamic property, None when there may be none."""
        for part in parts:
            if container is dict and isinstance(part, type) and issubclass(part, msgspec.Struct):
                return self._struct(part)
            origin = get_origin(part) or part
            if container is dict and origin is dict:
                return {"type": "object"}
            if container is list and origin in (list, tuple):
                holds = [arg for arg in get_args(part) if isinstance(arg, type) and issubclass(arg, msgspec.Struct)]
                return self.of(part) if holds else {"type": "array"}
        return None


def nullable(schema: Schema) -> Schema:
    """Return the schema with null, which stands for a property that is not there."""
    if not schema:
        return schema
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        return {**schema, "type": [*kinds, "null"]}
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    return {"anyOf": [schema, {"type": "null"}]}


def any_of(choices: Sequence[Schema]) -> Schema:
    """Return the schema of a choice; choices that only name kinds of plain values become one."""
    if any(not choice for choice in choices):
        return {}
    kinds: list[str] = []
    rest: list[Schema] = []
    for choice in choices:
        if set(choice) <= {"type", "examples"} and choice["type"] not in ("object", "array"):
            kinds += choice["type"] if isinstance(choice["type"], list) else [choice["type"]]
        else:
            rest.append(choice)
    merged = [*([{"type": _types(kinds)}] if kinds else []), *rest]
    return dict(merged[0]) if len(merged) == 1 else {"anyOf": merged}


def _types(kinds: Sequence[str]) -> list[str]:
    """Return the kinds once each; every whole number is a number."""
    known = list(dict.fromkeys(kinds))
    return [kind for kind in known if kind != "integer" or "number" not in known]


def _bounds(mark: Any) -> Schema:
    if isinstance(mark, NotBlank):
        return {"pattern": r"\S"}
    if isinstance(mark, NotEmpty):
        return {"minLength": 1, "minItems": 1, "minProperties": 1}
    if not isinstance(mark, msgspec.Meta):
        return {}
    found: Schema = {}
    if mark.pattern is not None:
        found["pattern"] = f"^(?:{mark.pattern})$"
    if mark.min_length is not None:
        found |= {"minLength": mark.min_length, "minItems": mark.min_length, "minProperties": mark.min_length}
    if mark.max_length is not None:
        found |= {"maxLength": mark.max_length, "maxItems": mark.max_length, "maxProperties": mark.max_length}
    bounds = {"minimum": mark.ge, "exclusiveMinimum": mark.gt, "maximum": mark.le, "exclusiveMaximum": mark.lt}
    return found | {name: bound for name, bound in bounds.items() if bound is not None}


def _labels() -> Schema:
    pair = {"type": "object", "required": ["key", "value"], "properties": {"key": {}, "value": dict(TEXT)}}
    return {
        "anyOf": [{"type": "object", "additionalProperties": dict(TEXT)}, {"type": "array", "items": pair}],
        "examples": [{"team": "data"}],
    }
