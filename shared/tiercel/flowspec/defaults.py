"""
Plugin defaults: values that tasks, triggers and conditions get by their type (reference 1.6).

What stands in the flow wins over what is not forced; forced values win over the flow. Earlier defaults win over later
ones, so the order is flow, namespaces from the nearest outwards, then the installation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from tiercel.flowspec.binder import properties_of
from tiercel.model.flow import PluginDefault
from tiercel.plugins.registry import REGISTRY

KEYS: Final = ("pluginDefaults", "taskDefaults")


class OuterDefaults(msgspec.Struct, frozen=True, kw_only=True):
    """The defaults that an operator sets: for all flows, and for those of a namespace and below it."""

    everywhere: tuple[PluginDefault, ...] = ()
    by_namespace: Mapping[str, tuple[PluginDefault, ...]] = {}

    def scopes(self, namespace: Any) -> list[tuple[PluginDefault, ...]]:
        """Return the defaults that hold in a namespace, the nearest first."""
        parts = namespace.split(".") if isinstance(namespace, str) else []
        names = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
        return [*(self.by_namespace[name] for name in names if name in self.by_namespace), self.everywhere]


def read_outer(value: Any) -> OuterDefaults:
    """Read the operator's list: an entry with a `namespace` holds there, the others everywhere."""
    everywhere: list[Any] = []
    by_namespace: dict[str, list[Any]] = {}
    for entry in value if isinstance(value, list | tuple) else ():
        name = entry.get("namespace") if isinstance(entry, Mapping) else None
        (by_namespace.setdefault(name, []) if isinstance(name, str) else everywhere).append(entry)
    return OuterDefaults(
        everywhere=tuple(read_defaults(everywhere)),
        by_namespace={name: tuple(read_defaults(entries)) for name, entries in by_namespace.items()},
    )


def read_defaults(value: Any) -> list[PluginDefault]:
    """Read a list of defaults from plain data; entries that are not of the form are left to validation."""
    result = []
    for entry in value if isinstance(value, list | tuple) else ():
        if isinstance(entry, PluginDefault):
            result.append(entry)
        elif (
            isinstance(entry, Mapping) and isinstance(entry.get("type"), str) and isinstance(entry.get("values"), dict)
        ):
            forced = entry.get("forced")
            result.append(PluginDefault(type=entry["type"], forced=forced in (True, "true"), values=entry["values"]))
    return result


def merge_defaults(document: dict[str, Any], *outer: Iterable[PluginDefault]) -> dict[str, Any]:
    """Return the flow's plain data with its own and these outer defaults merged in; the argument is left as it is."""
    own = [default for key in KEYS for default in read_defaults(document.get(key))]
    defaults = [*own, *(default for scope in outer for default in scope)]
    if not defaults:
        return document
    defaults = _with_real_names(defaults)
    plain = [default for default in defaults if not default.forced]
    forced = [default for default in reversed(defaults) if default.forced]
    return {key: part if key in KEYS else _inject(part, plain, forced) for key, part in document.items()}


def _with_real_names(defaults: list[PluginDefault]) -> list[PluginDefault]:
    """Add, behind each default for an older type name, the same for the real one."""
    result = []
    for default in defaults:
        result.append(default)
        real = REGISTRY.canonical(default.type)
        if real != default.type:
            result.append(PluginDefault(type=real, forced=default.forced, values=default.values))
    return result


def _inject(value: Any, plain: list[PluginDefault], forced: list[PluginDefault]) -> Any:
    """Inject into what a value holds, then into itself: what a default brings gets no defaults of its own."""
    if isinstance(value, list):
        return [_inject(part, plain, forced) for part in value]
    if not isinstance(value, dict):
        return value
    value = {name: _inject(part, plain, forced) for name, part in value.items()}
    kind = value.get("type")
    if isinstance(kind, str):
        real = REGISTRY.canonical(kind)
        for default in plain:
            value = deep_merge(_values_for(default, kind, real), value)
        for default in forced:
            value = deep_merge(value, _values_for(default, kind, real))
    return value


def _values_for(default: PluginDefault, kind: str, real: str) -> dict[str, Any]:
    """Return what a default has for a type; one for a prefix speaks to each type of the properties that it has."""
    if default.type in (kind, real):
        return default.values
    if not (kind.startswith(default.type) or real.startswith(default.type)):
        return {}
    cls = REGISTRY.find(real)
    if cls is None:
        return default.values
    known = properties_of(cls)
    return {name: value for name, value in default.values.items() if name in known}


def deep_merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merge two maps; where both have a value `over` wins, maps merge, and lists are joined."""
    result = dict(base)
    for name, part in over.items():
        there = result.get(name)
        if isinstance(there, dict) and isinstance(part, dict):
            result[name] = deep_merge(there, part)
        elif isinstance(there, list) and isinstance(part, list):
            result[name] = [*there, *part]
        else:
            result[name] = part
    return result
