"""
Plain data to the Struct classes of the model, by their annotations; every problem is collected.

Whose class is chosen by `type` (tasks, triggers, conditions) is found in the plugin registry. Nothing is evaluated:
a dynamic property keeps the author's expression.
"""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec

from tiercel.flowspec.annotationbinder import AnnotationBinders
from tiercel.flowspec.findings import Findings, Trail, UseKind
from tiercel.flowspec.scalars import BROKEN, Bind, kind, shown
from tiercel.model.property import Aliases, Deprecated, Internal, NotEmpty, Removed
from tiercel.model.task import Condition, Plugin, Task, Trigger
from tiercel.plugins.base import TaskRunner
from tiercel.plugins.registry import REGISTRY


class _Property:
    """One name that a class accepts: where its value goes and what using it means."""

    __slots__ = ("attribute", "bind", "deprecated", "noted", "now", "removed")

    def __init__(self, attribute: str, bind: Bind, *, deprecated: bool, removed: bool, now: str | None = None) -> None:
        self.attribute = attribute
        self.bind = bind
        self.deprecated = deprecated
        self.removed = removed
        self.now = now if deprecated or removed else None
        """The newest name of the property, when this is an older one."""
        self.noted = deprecated or removed


class _Plan:
    """How a Struct class is bound: its names, and what must be there."""

    __slots__ = ("cls", "known", "properties", "required")

    def __init__(self, cls: type[Any]) -> None:
        self.cls = cls
        self.properties: dict[str, _Property] = {}
        self.required: list[tuple[str, str, NotEmpty | None, Any]] = []
        self.known: list[str] = []
        for field in msgspec.structs.fields(cls):
            marks = get_args(field.type)[1:] if get_origin(field.type) is Annotated else ()
            if any(isinstance(mark, Internal) for mark in marks):
                continue
            self._add(field, marks)

    def _add(self, field: msgspec.structs.FieldInfo, marks: tuple[Any, ...]) -> None:
        name = field.encode_name.rstrip("_")
        bind = _BINDERS.of(field.type)
        removed = any(isinstance(mark, Removed) for mark in marks)
        deprecated = any(isinstance(mark, Deprecated) for mark in marks)
        self.known.append(name)
        self.properties[name] = _Property(field.name, bind, deprecated=deprecated, removed=removed)
        for mark in marks:
            if isinstance(mark, Aliases):
                for alias in mark.names:
                    self.properties[alias] = _Property(
                        field.name, bind, deprecated=mark.deprecated, removed=mark.removed or removed, now=name
                    )
        if field.required:
            needed = next((mark for mark in marks if isinstance(mark, NotEmpty)), None)
            empty = _empty(field.type)
            self.required.append((field.name, name, None if empty is None else needed, empty))


def _empty(annotation: Any) -> Any:
    """Return the empty list or map of an annotation, None when it is of another kind."""
    inner = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    origin = get_origin(inner) or inner
    return () if origin in (tuple, list) else {} if origin is dict else None


_PLANS: Final[dict[type[Any], _Plan]] = {}


def _plan_of(cls: type[Any]) -> _Plan:
    plan = _PLANS.get(cls)
    if plan is None:
        plan = _PLANS[cls] = _Plan(cls)
    return plan


def _struct(cls: type[Any]) -> Bind:
    """Return the binder of a Struct class; the plan is made at the first use, so that classes may hold themselves."""
    if issubclass(cls, Plugin) and not _is_known(cls):
        return lambda value, trail, findings: bind_typed(cls, value, trail, findings)
    return lambda value, trail, findings: bind_struct(cls, value, trail, findings)


def _is_known(cls: type[Plugin]) -> bool:
    """Tell whether it is this very class that is asked for, so that no author writes a `type`."""
    marks = next(get_args(field.type)[1:] for field in msgspec.structs.fields(cls) if field.name == "type")
    return any(isinstance(mark, Internal) for mark in marks)


_BINDERS: Final = AnnotationBinders(_struct)


def bind_struct(cls: type[Any], value: Any, trail: Trail, findings: Findings) -> Any:
    """Bind a map to this very class; BROKEN when it lacks what the class cannot be made without."""
    if not isinstance(value, dict):
        findings.broken(trail, f"must be a map, but is {kind(value)}")
        return BROKEN
    plan = _plan_of(cls)
    properties = plan.properties
    arguments: dict[str, Any] = {}
    failed: set[str] = set()
    for name, part in value.items():
        entry = properties.get(name)
        if entry is None:
            findings.use(UseKind.UNKNOWN_PROPERTY, (trail, name), str(name))
            if findings.strict:
                findings.problem((trail, name), _unknown(plan, name, value))
            continue
        if entry.noted:
            _note(entry, trail, name, findings)
        if part is None:
            continue
        bound = entry.bind(part, (trail, name), findings)
        if bound is BROKEN:
            failed.add(entry.attribute)
        elif entry.attribute in arguments:
            findings.problem((trail, name), f"'{name}' is another name of a property that is set already; keep one.")
        else:
            arguments[entry.attribute] = bound
    for attribute, name, needed, empty in plan.required:
        if attribute in arguments:
            continue
        if attribute in failed:
            if needed is None:
                return BROKEN
        elif needed is None:
            findings.broken((trail, name), "Invalid type: null" if name == "type" else "must not be null")
            failed.add(attribute)
            continue
        else:
            findings.problem((trail, name), needed.message)
        arguments[attribute] = empty
    if any(attribute in failed and attribute not in arguments for attribute, _, _, _ in plan.required):
        return BROKEN
    return cls(**arguments)


def bind_typed(base: type[Plugin], value: Any, trail: Trail, findings: Findings) -> Any:
    """Bind a map to the class that its `type` names, which must be a kind of `base`."""
    if not isinstance(value, dict):
        findings.broken(trail, f"must be a map, but is {kind(value)}")
        return BROKEN
    name = value.get("type")
    if not isinstance(name, str) or not name.strip():
        said = "null" if name is None else shown(name)
        findings.broken((trail, "type"), f"Invalid type: {said}")
        return BROKEN
    found = REGISTRY.find(name)
    if found is None:
        findings.use(UseKind.UNKNOWN_TYPE, (trail, "type"), name)
        close = REGISTRY.nearest(name)
        findings.broken((trail, "type"), f"Invalid type: {name}" + (f"; did you mean '{close}'?" if close else ""))
        return BROKEN
    if not issubclass(found, base):
        findings.broken((trail, "type"), f"Invalid type: {name} is not a {_noun(base)}, but a {_noun(found)}")
        return BROKEN
    canonical = REGISTRY.canonical(name)
    if canonical != name:
        findings.relocations.append((name, canonical))
        findings.use(UseKind.OLDER_TYPE_NAME, (trail, "type"), name, canonical)
    if found.DEPRECATED:
        findings.deprecated(trail)
        findings.use(UseKind.DEPRECATED_TYPE, (trail, "type"), canonical)
    if found.REMOVED:
        findings.use(UseKind.REMOVED_TYPE, (trail, "type"), canonical)
        findings.old.add(name)
    return bind_struct(found, value, trail, findings)


_NOUNS: Final = ((Task, "task"), (Trigger, "trigger"), (Condition, "condition"), (TaskRunner, "task runner"))


def _noun(cls: type[Any]) -> str:
    for base, noun in _NOUNS:
        if issubclass(cls, base):
            return noun
    return "plugin"


def _note(entry: _Property, trail: Trail, name: str, findings: Findings) -> None:
    if entry.now is not None:
        findings.use(UseKind.OLDER_PROPERTY_NAME, (trail, name), name, entry.now)
    if entry.deprecated:
        findings.deprecated((trail, name))
        if entry.now is None and not entry.removed:
            findings.use(UseKind.DEPRECATED_PROPERTY, (trail, name), name)
    if entry.removed:
        findings.old.add(name)
        if entry.now is None:
            findings.use(UseKind.REMOVED_PROPERTY, (trail, name), name)


def _unknown(plan: _Plan, name: str, value: dict[str, Any]) -> str:
    close = difflib.get_close_matches(str(name), plan.properties, n=1)
    owner = value.get("type") if issubclass(plan.cls, Plugin) else plan.cls.__name__
    known = ", ".join(f'"{each}"' for each in plan.known)
    hint = f'; did you mean "{close[0]}"?' if close else ""
    return (
        f'Unrecognized field "{name}" (class {owner}), not marked as ignorable '
        f"({len(plan.known)} known properties: {known}){hint}"
    )


def properties_of(cls: type[Any]) -> tuple[str, ...]:
    """Return the names of all properties that a class accepts, older names included."""
    return tuple(_plan_of(cls).properties)
