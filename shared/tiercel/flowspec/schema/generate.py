"""The schema of whole flows, tasks and triggers, out of the registry and the classes of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from enum import Enum
from typing import Any, Final, get_args

import msgspec

from tiercel.errors import NotFound
from tiercel.flowspec.schema import documentation
from tiercel.flowspec.schema.annotationschema import AnnotationSchemas, Schema, nullable
from tiercel.model.duration import format_duration
from tiercel.model.flow import Flow, PluginDefault
from tiercel.model.input import Input
from tiercel.model.property import Aliases, Deprecated, Internal, Removed
from tiercel.model.task import Condition, Plugin, Task, Trigger
from tiercel.plugins.base import TaskRunner
from tiercel.plugins.registry import REGISTRY

DRAFT: Final = "http://json-schema.org/draft-07/schema#"
"""What editors' YAML support speaks best."""
DEFINITIONS: Final = "#/definitions/"
_NAMES: Final[dict[type[Any], str]] = {
    Flow: "io.kestra.core.models.flows.Flow",
    Task: "io.kestra.core.models.tasks.Task",
    Trigger: "io.kestra.core.models.triggers.AbstractTrigger",
    Condition: "io.kestra.core.models.conditions.Condition",
    TaskRunner: "io.kestra.core.models.tasks.runners.TaskRunner",
    PluginDefault: "io.kestra.core.models.flows.PluginDefault",
}
"""Names that clients of Kestra's schema look for; other classes bear their own."""
_BASES: Final = frozenset({Task, Trigger, Condition, TaskRunner})
"""Where one of these is asked for, `type` chooses the class."""
_DEFAULTS: Final = ("pluginDefaults", "taskDefaults")
KINDS: Final[dict[str, type[Any]]] = {
    "flow": Flow,
    "task": Task,
    "trigger": Trigger,
    "condition": Condition,
    "plugindefault": PluginDefault,
}
"""What there is a schema of, by the name that the API and the command line know it by."""


def schema_of(kind: str, *, array: bool = False) -> Schema:
    """Return the schema of a kind of document, or of a list of them; raise NotFound for a kind without one."""
    cls = KINDS.get(kind.strip().lower().replace("-", "").replace("_", ""))
    if cls is None:
        raise NotFound(f"There is no schema of '{kind}'; there are schemas of {', '.join(KINDS)}.")
    generator = _Generator()
    root = _flow(generator) if cls is Flow else generator.position(cls)
    schema: Schema = {"$schema": DRAFT}
    if array:
        schema |= {"type": "array", "items": root}
    else:
        schema |= root
    return schema | {"definitions": generator.finished()}


def schema_of_type(name: str) -> Schema:
    """Return the schema of one type of task, trigger or condition; raise NotFound when it is unknown."""
    cls = REGISTRY.find(name)
    if cls is None:
        close = REGISTRY.nearest(name)
        raise NotFound(f"The type '{name}' is unknown" + (f"; did you mean '{close}'?" if close else "."))
    generator = _Generator()
    own = generator.typed(REGISTRY.canonical(name), cls)
    return {"$schema": DRAFT, **own, "definitions": generator.finished()}


def schema_of_struct(kind: str) -> Schema:
    """Return the schema of what flows, tasks, triggers or inputs have in common; raise NotFound for another kind."""
    known: dict[str, type[Any]] = {**KINDS, "input": Input}
    cls = known.get(kind.lower())
    if cls is None:
        raise NotFound(f"There are no properties of '{kind}'; there are those of {', '.join(KINDS)} and input.")
    generator = _Generator()
    own = generator.struct(cls)
    return {"$schema": DRAFT, **own, "definitions": generator.finished()}


def author_types(base: type[Any]) -> Iterator[tuple[str, type[Any]]]:
    """Yield the types of a kind that people write, by name."""
    for name in REGISTRY.names():
        cls = REGISTRY.find(name)
        if cls is not None and issubclass(cls, base) and "$" not in name:
            yield name, cls


def _flow(generator: _Generator) -> Schema:
    """
    Return a flow, or a flow with defaults.

    Defaults may bring what a task must have, or replace what is wrong in it: only the server can judge the whole.
    """
    strict = generator.position(Flow)
    loose: Schema = {
        "title": "A flow with defaults of plugins",
        "type": "object",
        "anyOf": [{"required": [name]} for name in _DEFAULTS],
        "required": ["id", "namespace", "tasks"],
    }
    return {"anyOf": [strict, loose]}


class _Generator:
    """Collects the definitions that a schema refers to."""

    def __init__(self) -> None:
        self._definitions: dict[str, Schema] = {}
        self._waiting: list[tuple[str, Callable[[], Schema]]] = []
        self._known: set[str] = set()
        self._annotations = AnnotationSchemas(self.position)
        REGISTRY.load()

    def finished(self) -> dict[str, Schema]:
        """Return all definitions, by name."""
        while self._waiting:
            name, make = self._waiting.pop()
            self._definitions[name] = make()
        return dict(sorted(self._definitions.items()))

    def position(self, cls: type[Any]) -> Schema:
        """Return the reference to what may stand where this class is asked for."""
        if cls in _BASES:
            return self._refer(_name(cls), lambda: self._choice(cls))
        return self._refer(_name(cls), lambda: self.struct(cls))

    def _refer(self, name: str, make: Callable[[], Schema]) -> Schema:
        if name not in self._known:
            self._known.add(name)
            self._waiting.append((name, make))
        return {"$ref": DEFINITIONS + name}

    def _choice(self, base: type[Plugin]) -> Schema:
        """
        Return the choice of a type: its names, and for each what then holds.

        Not `anyOf`: a validator would look into every type for each task, and into all of theirs for each inside it.
        """
        names: list[str] = []
        titles: list[str] = []
        choices: list[Schema] = []
        for name, cls in author_types(base):
            known = [name, *REGISTRY.aliases_of(name)]
            names += known
            titles += [documentation.of_class(cls).title] * len(known)
            reference = self._refer(name, lambda name=name, cls=cls: self.typed(name, cls))  # type: ignore[misc]  # binds now
            is_this: Schema = {"required": ["type"], "properties": {"type": {"enum": known}}}
            choices.append({"if": is_this, "then": reference})
        return {
            "title": documentation.of_class(base).title,
            "type": "object",
            "required": ["type"],
            "properties": {"type": {"enum": names, "enumDescriptions": titles}},
            "allOf": choices,
        }

    def typed(self, name: str, cls: type[Any]) -> Schema:
        """Return the schema of one type; its older names are accepted too."""
        schema = self.struct(cls)
        aliases = REGISTRY.aliases_of(name)
        kind: Schema = {"enum": [name, *aliases]} if aliases else {"const": name}
        # First, so that a validator sees at once which of many types is meant.
        schema["properties"] = {
            "type": kind,
            **{key: each for key, each in schema["properties"].items() if key != "type"},
        }
        if cls.DEPRECATED:
            schema["deprecated"] = True
        if cls.REMOVED:
            note = "Kestra 2.0 no longer has this type: a flow that uses it is of the 1.x dialect."
            schema["description"] = f"{schema['description']}\n\n{note}" if schema.get("description") else note
        return schema

    def struct(self, cls: type[Any]) -> Schema:
        """Return the schema of this very class."""
        own = documentation.of_class(cls)
        said = documentation.of_properties(cls)
        properties: dict[str, Schema] = {}
        required: list[tuple[str, ...]] = []
        for field in msgspec.structs.fields(cls):
            marks = _marks(field.type)
            if any(isinstance(mark, Internal) for mark in marks):
                continue
            name = field.encode_name.rstrip("_")
            schema = self._property(field, said.get(field.name))
            if any(isinstance(mark, Deprecated) for mark in marks):
                schema["deprecated"] = True
            if any(isinstance(mark, Removed) for mark in marks):
                schema["description"] = _and(schema.get("description"), "Gone in Kestra 2.0.")
            properties[name] = schema
            names = [name]
            for mark in marks:
                if isinstance(mark, Aliases):
                    names += mark.names
                    for alias in mark.names:
                        properties[alias] = _older(schema, name, mark)
            if field.required:
                required.append(tuple(names))
        schema = {"title": own.title or cls.__name__, "type": "object"}
        if own.description:
            schema["description"] = own.description
        if own.examples:
            schema["examples"] = list(own.examples)
        schema |= {"properties": properties, "additionalProperties": False, **_required(required)}
        return schema

    def _property(self, field: msgspec.structs.FieldInfo, said: str | None) -> Schema:
        schema = self._annotations.of(field.type)
        if not field.required:
            schema = nullable(schema)
        if "$ref" in schema:
            schema = {"allOf": [schema]}  # beside a reference, nothing else is read
        if said:
            schema["description"] = said
        default = _default(field)
        if default is not None:
            schema["default"] = default
        return schema


def _name(cls: type[Any]) -> str:
    return _NAMES.get(cls) or f"{cls.__module__}.{cls.__qualname__}"


def _marks(annotation: Any) -> tuple[Any, ...]:
    return getattr(annotation, "__metadata__", ()) if get_args(annotation) else ()


def _older(schema: Schema, name: str, mark: Aliases) -> Schema:
    is_old = mark.deprecated or mark.removed
    older = {**schema, "description": f"{'An older' if is_old else 'Another'} name of '{name}'."}
    return older | {"deprecated": True} if is_old else older


def _required(names: list[tuple[str, ...]]) -> Schema:
    needs: Schema = {}
    plain = [each[0] for each in names if len(each) == 1]
    if plain:
        needs["required"] = plain
    choices = [{"anyOf": [{"required": [name]} for name in each]} for each in names if len(each) > 1]
    if choices:
        needs["allOf"] = choices
    return needs


def _and(first: str | None, second: str) -> str:
    return f"{first} {second}" if first else second


def _default(field: msgspec.structs.FieldInfo) -> Any:
    value = field.default
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, timedelta):
        return format_duration(value)
    return value if isinstance(value, bool | int | float | str) else None
