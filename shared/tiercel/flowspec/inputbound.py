"""Bounds on typed values of inputs: patterns, least and most, choices, schemas; every violation as its own cause."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import referencing
from jsonschema.exceptions import SchemaError, ValidationError

from tiercel.expression import java_regex
from tiercel.flowspec.inputvalue import LIST_TYPES, cast, option_value, shown
from tiercel.model.flow import Dialect
from tiercel.model.input import Input, InputType

_NUMBERS = (InputType.INT, InputType.FLOAT, InputType.DURATION)
_MOMENTS = (InputType.DATE, InputType.TIME, InputType.DATETIME)


def violations(each: Input, value: Any, dialect: Dialect = Dialect.V2) -> Iterator[str]:
    """Yield the cause of each bound of the input that a typed value breaks."""
    if each.type in (InputType.STRING, InputType.SECRET) and each.validator is not None:
        yield from _pattern(each, value)
    elif each.type in _NUMBERS:
        yield from _between(each, value)
    elif each.type in _MOMENTS:
        yield from _moments(each, value)
    elif each.type in (InputType.SELECT, InputType.ENUM) or each.type is InputType.MULTISELECT:
        yield from _choices(each, value, dialect)
    elif each.type is InputType.JSON:
        yield from _schema(each, value)
    elif each.type is InputType.FILE:
        yield from _extension(each, value)


def _pattern(each: Input, value: Any) -> Iterator[str]:
    try:
        matches = java_regex.full_match(each.validator or "", str(value))
    except TimeoutError:
        matches = False  # a pattern that never ends on this text does not accept it
    if not matches:
        # The pattern of a secret is checked before it is encrypted, in a step that names the input once more.
        prefix = f"{each.id}: " if each.type is InputType.SECRET else ""
        yield f"{prefix}it must match the pattern `{each.validator}`"


def _between(each: Input, value: int | float | timedelta) -> Iterator[str]:
    word = "It" if each.type is InputType.DURATION else "it"
    if each.min is not None and value < cast(each.type, each.min):
        yield f"{word} must be more than `{each.min}`"
    if each.max is not None and value > cast(each.type, each.max):
        yield f"{word} must be less than `{each.max}`"


def _moments(each: Input, value: datetime | date | time) -> Iterator[str]:
    if each.after is not None and value < cast(each.type, each.after):
        yield f"it must be after `{each.after}`"
    if each.before is not None and value > cast(each.type, each.before):
        yield f"it must be before `{each.before}`"


def choices(each: Input) -> tuple[Any, ...] | None:
    """Return the values that may be chosen, None when the input has no list of its own."""
    listed = each.values if each.values is not None else each.options
    return None if listed is None else tuple(option_value(option) for option in listed)


def _choices(each: Input, value: Any, dialect: Dialect) -> Iterator[str]:
    allowed = choices(each)
    if allowed is None or each.allow_custom_value:
        return
    known = {shown(option) for option in allowed}
    listed = f"`[{', '.join(shown(option) for option in allowed)}]`"
    if each.type in LIST_TYPES:
        others = [part for part in value if shown(part) not in known]
        if others and dialect is Dialect.V1:
            yield f"it must match the values {listed}"
        else:
            yield from (f"value `{shown(part)}` doesn't match the values {listed}" for part in others)
    elif shown(value) not in known and (each.required or dialect is Dialect.V2 or each.type is InputType.ENUM):
        yield f"it must match the values {listed}"


def _schema(each: Input, value: Any) -> Iterator[str]:
    schema = each.json_schema
    if schema is None or (isinstance(schema, str) and not schema.strip()):
        return
    try:
        parsed = json.loads(schema) if isinstance(schema, str) else schema
        if not isinstance(parsed, dict):
            raise ValueError("a schema is a map")
        validator: Any = jsonschema.validators.validator_for(parsed, default=jsonschema.Draft202012Validator)
        validator.check_schema(parsed)
        validator = _with_bounded_patterns(validator)
        # A registry of its own, so that no schema makes the engine fetch an address.
        errors = sorted(validator(parsed, registry=referencing.Registry()).iter_errors(value), key=str)
    except (ValueError, re.error, TimeoutError, SchemaError, referencing.exceptions.Unresolvable) as error:
        yield f"Invalid JSON content or schema: {getattr(error, 'message', error)}"
        return
    if errors:
        yield f"it must match the json schema: {'; '.join(_said(error) for error in errors[:5])}"


def _with_bounded_patterns(validator: Any) -> Any:
    extend: Any = jsonschema.validators.extend
    return extend(validator, {"pattern": _schema_pattern})


def _schema_pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[ValidationError]:
    """Check a schema's pattern with the matcher that stops in time."""
    if isinstance(value, str) and java_regex.find(pattern, value) is None:
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _said(error: ValidationError) -> str:
    return f"{error.json_path}: {error.message}"


def _extension(each: Input, value: Any) -> Iterator[str]:
    allowed = each.allowed_file_extensions
    if allowed:
        name = PurePosixPath(urlsplit(str(value)).path).name.lower()
        if not any(name.endswith(extension.lower()) for extension in allowed):
            yield f"File type not allowed. Accepted extensions: {', '.join(allowed)}"
