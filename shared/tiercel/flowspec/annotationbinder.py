"""Annotations to binders: what `Annotated[tuple[Task, ...], NOT_EMPTY]` accepts, as a function, made once."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from enum import Enum
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec

from tiercel.flowspec.annotation import AnnotationReader, union_parts
from tiercel.flowspec.bounds import bounded, labels, map_problem
from tiercel.flowspec.findings import Findings, Trail
from tiercel.flowspec.scalars import BROKEN, SCALARS, Bind, bind_any, bind_enum, bind_str, kind
from tiercel.model.property import Dynamic, Labels, is_expression

_CHECKED: Final = (Enum, timedelta, datetime, date, time)
"""Types whose literal texts are checked even where an expression is allowed."""
_SCALARS: Final = frozenset({str, bool, int, float})


class AnnotationBinders(AnnotationReader[Bind]):
    """Makes binders of annotations."""

    def _scalar(self, annotation: Any) -> Bind | None:
        return SCALARS.get(annotation)

    def _annotated(self, inner: Any, marks: list[Any]) -> Bind:
        for mark in marks:
            if isinstance(mark, Labels):
                return labels(mark)
        dynamic = any(isinstance(mark, Dynamic) for mark in marks)
        return bounded(self._dynamic(inner) if dynamic else self.of(inner), marks)

    def _enum(self, cls: type[Enum]) -> Bind:
        return bind_enum(cls)

    def _union(self, parts: list[Any]) -> Bind:
        if len(parts) == 1:
            return self.of(parts[0])
        choices = [(_kinds(part), self.of(part)) for part in parts]

        def bind(value: Any, trail: Trail, findings: Findings) -> Any:
            fitting = [choice for kinds, choice in choices if type(value) in kinds]
            others = [choice for kinds, choice in choices if type(value) not in kinds]
            for choice in (*fitting, *others):
                trial = Findings(strict=findings.strict)
                bound = choice(value, trail, trial)
                if bound is not BROKEN and not trial.found:
                    findings.old |= trial.old
                    findings.deprecations += trial.deprecations
                    findings.relocations += trial.relocations
                    findings.uses += trial.uses
                    return bound
            return (*fitting, *others)[0](value, trail, findings)

        return bind

    def _items(self, item: Bind, container: type[Any]) -> Bind:
        def bind(value: Any, trail: Trail, findings: Findings) -> Any:
            if not isinstance(value, list | tuple):
                findings.broken(trail, f"must be a list, but is {kind(value)}")
                return BROKEN
            result = []
            for index, part in enumerate(value):
                if part is None:
                    findings.broken((trail, index), "must not be null")
                    continue
                bound = item(part, (trail, index), findings)
                if bound is not BROKEN:
                    result.append(bound)
            return container(result)

        return bind

    def _entries(self, entry: Bind) -> Bind:
        def bind(value: Any, trail: Trail, findings: Findings) -> Any:
            if not isinstance(value, dict):
                findings.broken(trail, f"must be a map, but is {kind(value)}")
                return BROKEN
            result = {}
            for name, part in value.items():
                if part is None and entry is not bind_any:
                    findings.broken((trail, name), "must not be null")
                    continue
                bound = None if part is None else entry(part, (trail, name), findings)
                if bound is not BROKEN:
                    result[name] = bound
            return result

        return bind

    def _dynamic(self, annotation: Any) -> Bind:
        """Keep what the author wrote; check the kind of the value, and literal texts of types with few values."""
        parts = union_parts(annotation)
        if Any in parts or object in parts:
            return _noted
        checked = [self.of(part) for part in parts if isinstance(part, type) and issubclass(part, _CHECKED)]
        only_text = str in parts and not {int, float, bool}.intersection(
            part for part in parts if isinstance(part, type)
        )
        stands_for_map = {get_origin(part) or part for part in parts} == {dict, str}
        structured = {dict: self._inside(parts, dict), list: self._inside(parts, list)}
        # A text beside numbers or truth values stands for an expression: any other must be one of them, written so.
        scalars = [self.of(part) for part in parts if part in (bool, int, float)] if set(parts) <= _SCALARS else []

        def bind(value: Any, trail: Trail, findings: Findings) -> Any:
            if scalars and not isinstance(value, dict | list) and not (isinstance(value, str) and is_expression(value)):
                if all(choice(value, trail, Findings()) is BROKEN for choice in scalars):
                    return scalars[0](value, trail, findings)
                return value
            if isinstance(value, str):
                if checked and not is_expression(value):
                    trials = [(choice, Findings()) for choice in checked]
                    if all(choice(value, trail, trial) is BROKEN for choice, trial in trials):
                        checked[0](value, trail, findings)
                if stands_for_map and not is_expression(value) and (problem := map_problem(value)) is not None:
                    findings.problem(trail, problem)
                findings.expressions.append((trail, value))
                return value
            if isinstance(value, dict | list):
                inside = structured[dict if isinstance(value, dict) else list]
                return bind_str(value, trail, findings) if inside is None else inside(value, trail, findings)
            if checked and only_text and all(choice(value, trail, Findings()) is BROKEN for choice in checked):
                return checked[0](value, trail, findings)
            return bind_str(value, trail, findings) if only_text else value

        return bind

    def _inside(self, parts: list[Any], container: type[Any]) -> Bind | None:
        """Return how a map (or a list) is bound where an expression is allowed, None when it is not allowed."""
        for part in parts:
            if container is dict and isinstance(part, type) and issubclass(part, msgspec.Struct):
                return self._struct(part)
            origin = get_origin(part) or part
            if container is dict and origin is dict:
                return _noted
            if container is list and origin in (list, tuple):
                holds = [arg for arg in get_args(part) if isinstance(arg, type) and issubclass(arg, msgspec.Struct)]
                names = [arg for arg in get_args(part) if isinstance(arg, type) and issubclass(arg, Enum)]
                return self.of(part) if holds else _names(names[0]) if names else _noted
        return None


def _names(cls: type[Enum]) -> Bind:
    """Return a binder of a list of names that are said to be of an enumeration, or expressions; it stays as written."""
    known, bind = {str(member.value) for member in cls}, bind_enum(cls)

    def noted(value: Any, trail: Trail, findings: Findings) -> Any:
        for index, part in enumerate(value):
            is_name = isinstance(part, str) and (is_expression(part) or part.strip().upper() in known)
            if not is_name:
                bind(part, (trail, index), findings)
        return _noted(value, trail, findings)

    return noted


def _noted(value: Any, trail: Trail, findings: Findings) -> Any:
    """Keep any value, and note that it may hold expressions."""
    findings.expressions.append((trail, value))
    return value


def _kinds(annotation: Any) -> frozenset[type]:
    """Return the kinds of plain values that an annotation is at home with."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kinds(get_args(annotation)[0])
    if origin in (tuple, list) or annotation in (tuple, list):
        return frozenset({list})
    if origin is dict or annotation is dict:
        return frozenset({dict})
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return frozenset({dict})
    if annotation in (int, float, bool):
        return frozenset({annotation})
    return frozenset({str})
