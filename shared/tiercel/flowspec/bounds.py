"""Bounds on bound values: lengths, patterns, least and most, and the rules of labels."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence, Sized
from typing import Any

import msgspec

from tiercel.expression.dates.pattern import fields
from tiercel.flowspec.findings import Findings, Trail, path_of
from tiercel.flowspec.scalars import BROKEN, Bind, bind_str, kind, shown
from tiercel.model.property import DateFormat, JsonText, Labels, NotBlank, NotEmpty, Written, is_expression
from tiercel.model.system import is_system_label

Rule = Callable[[Any], str | None]


def bounded(bind: Bind, marks: Sequence[Any]) -> Bind:
    """Return a binder that checks the bounds of these marks on what `bind` gives without a problem."""
    rules = [(rule, isinstance(mark, NotEmpty) and mark.newer) for mark in marks for rule in _rules(mark)]
    if not rules:
        return bind

    def checked(value: Any, trail: Trail, findings: Findings) -> Any:
        before = len(findings.found)
        bound = bind(value, trail, findings)
        if bound is not BROKEN and len(findings.found) == before:
            for rule, is_newer in rules:
                message = rule(bound)
                if message is not None and is_newer:
                    findings.of_newer_rule(path_of(trail), message)
                elif message is not None:
                    findings.problem(trail, message)
        return bound

    return checked


def _rules(mark: Any) -> list[Rule]:
    if isinstance(mark, NotBlank):
        return [lambda value: "must not be blank" if isinstance(value, str) and not value.strip() else None]
    if isinstance(mark, NotEmpty):
        message = mark.message
        return [lambda value: message if isinstance(value, Sized) and not len(value) else None]
    if isinstance(mark, JsonText):
        return [json_problem]
    if isinstance(mark, Written):
        return [_of_constants(mark.problem)]
    if isinstance(mark, DateFormat):
        return [date_format_problem]
    if isinstance(mark, msgspec.Meta):
        return [*_size_rules(mark), *(_of_numbers(rule) for rule in _number_rules(mark))]
    return []


def _of_numbers(rule: Rule) -> Rule:
    """Let a rule speak of numbers only, in quotes or not: where an expression is allowed, any text may stand."""

    def of_number(value: Any) -> str | None:
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                return None
        return rule(value) if isinstance(value, int | float) else None

    return of_number


def _of_constants(rule: Callable[[str], str | None]) -> Rule:
    """Let a rule speak of texts that hold no expression."""
    return lambda value: rule(value) if isinstance(value, str) and not is_expression(value) else None


def json_problem(value: Any) -> str | None:
    """Tell why a text is no JSON, None when it is or holds an expression; what is no text is its own JSON."""
    if not isinstance(value, str) or is_expression(value):
        return None
    try:
        json.loads(value)
    except (ValueError, RecursionError) as error:
        return f"invalid json '{value[:100]}': {error}"
    return None


def map_problem(text: str) -> str | None:
    """Tell why a text without expressions stands for no map, None when it is one written as JSON, or nothing."""
    if not text.strip():
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    return None if isinstance(found, dict) else f"must be a map, or one written as JSON, but is {shown(text)}"


def date_format_problem(value: Any) -> str | None:
    """Tell why a text is no format of dates or times; None when it is or holds an expression."""
    if not isinstance(value, str) or is_expression(value):
        return None
    try:
        fields(value)
    except ValueError as error:
        return f"invalid date format '{value}': {error}"
    return None


def _size_rules(meta: msgspec.Meta) -> list[Rule]:
    rules: list[Rule] = []
    if meta.pattern is not None:
        pattern = re.compile(meta.pattern)
        rules.append(
            lambda value: (
                f'must match "{pattern.pattern}", but is {shown(value)}'
                if isinstance(value, str) and not pattern.fullmatch(value)
                else None
            )
        )
    low, high = meta.min_length or 0, meta.max_length
    if meta.min_length is not None or high is not None:
        most = "" if high is None else f" and {high}"
        message = f"size must be between {low}{most}" if most else f"size must be at least {low}"
        rules.append(
            lambda value: (
                message if isinstance(value, Sized) and not low <= len(value) <= (high or len(value)) else None
            )
        )
    return rules


def _number_rules(meta: msgspec.Meta) -> list[Rule]:
    rules: list[Rule] = []
    if meta.ge is not None:
        least = meta.ge
        rules.append(lambda value: None if value >= least else f"must be greater than or equal to {least}")
    if meta.gt is not None:
        above = meta.gt
        rules.append(lambda value: None if value > above else f"must be greater than {above}")
    if meta.le is not None:
        most = meta.le
        rules.append(lambda value: None if value <= most else f"must be less than or equal to {most}")
    if meta.lt is not None:
        below = meta.lt
        rules.append(lambda value: None if value < below else f"must be less than {below}")
    return rules


def labels(mark: Labels) -> Bind:
    """Return the binder of labels: a map or a list of `{key, value}` becomes a map of texts."""

    def bind(value: Any, trail: Trail, findings: Findings) -> Any:
        pairs: list[tuple[str, Any, Trail]]
        if isinstance(value, dict):
            pairs = [(name, part, (trail, name)) for name, part in value.items()]
        elif isinstance(value, list):
            pairs = [pair for index, part in enumerate(value) for pair in _pair(part, (trail, index), findings)]
        else:
            findings.broken(trail, f"must be a map of labels or a list of key and value, but is {kind(value)}")
            return BROKEN
        result: dict[str, str] = {}
        for index, (name, part, where) in enumerate(pairs):
            text: Any = bind_str(part, where, findings) if part is not None else BROKEN
            if part is None:
                findings.problem(where, f"The label '{name}' has no value; give it one or leave it out.")
            if text is BROKEN:
                continue
            if name in result:
                findings.problem(where, f"Duplicate label with key [{name}]")
            if is_system_label(name) and name not in mark.system_allowed:
                findings.problem(
                    ((trail, index), "<list element>"),
                    f"System labels can only be set by Kestra itself, offending label: {name}={text}.",
                )
            result[name] = text
        return result

    return bind


def _pair(part: Any, trail: Trail, findings: Findings) -> list[tuple[str, Any, Trail]]:
    if not isinstance(part, dict) or part.get("key") is None:
        findings.broken(trail, "must be a label with 'key' and 'value'")
        return []
    return [(str(part["key"]), part.get("value"), trail)]
