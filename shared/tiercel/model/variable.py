"""
What expressions see as `vars`: the variables of the flow, and what tasks of the execution have made of them.

The flow's own are not copied into every execution: kept is what was set, and the paths of what was taken away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiercel.model.execution import Execution


def visible(of_flow: Mapping[str, Any], execution: Execution) -> dict[str, Any]:
    """Return `vars` of an execution."""
    own = dict(of_flow)
    for path in execution.unset_variables:
        own = without(own, path.split("."))
    return merged(own, execution.variables)


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return a map with the entries of another one; maps are merged within, everything else is replaced."""
    result = dict(base)
    for name, value in over.items():
        there = result.get(name)
        result[name] = merged(there, value) if isinstance(there, dict) and isinstance(value, dict) else value
    return result


def has(variables: Mapping[str, Any], path: Sequence[str]) -> bool:
    """Tell whether there is something at a path."""
    inner = variables.get(path[0])
    return path[0] in variables and (len(path) == 1 or (isinstance(inner, dict) and has(inner, path[1:])))


def without(variables: Mapping[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """Return a map without what is at a path."""
    result = dict(variables)
    if len(path) == 1:
        result.pop(path[0], None)
    elif isinstance(inner := result.get(path[0]), dict):
        result[path[0]] = without(inner, path[1:])
    return result
