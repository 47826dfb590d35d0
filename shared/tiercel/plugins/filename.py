"""Names of files in a task's folder: which ones lead out of it, told before a task runs and while it does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tiercel.model.property import constant
from tiercel.model.task import Objection
from tiercel.plugins.objection import list_objections, map_objections
from tiercel.storage.patterns import GLOB, REGEX


def outside_problem(name: str) -> str | None:
    """Tell why a name is none of a file inside a folder, None when it is one."""
    if name and "\0" not in name and not os.path.isabs(name) and ".." not in Path(name).parts:
        return None
    return f"'{name}' is not a path inside the task's folder; write a relative one without '..'."


def file_objections(input_name: str, inputs: Any, output_name: str, outputs: Any) -> Iterator[Objection]:
    """Yield what is wrong with constants of two properties that name files: such as lead out of the folder."""
    yield from list_objections(**{output_name: outputs})
    yield from map_objections(**{input_name: inputs})
    named = _decoded(inputs)
    for name in named if isinstance(named, dict) else ():
        text = constant(name)
        problem = outside_problem(text) if text is not None else None
        if problem is not None:
            yield Objection((input_name, name), problem)
    patterns = _decoded(outputs)
    for pattern in patterns if isinstance(patterns, list) else [patterns]:
        text = constant(pattern)
        if text and not text.startswith(REGEX) and ".." in Path(text.removeprefix(GLOB)).parts:
            yield Objection((output_name,), f"'{text}' leads out of the task's folder: no file is kept.", refuses=False)


def _decoded(value: Any) -> Any:
    """Return a constant list or map that is written as JSON; anything else as it is."""
    text = constant(value)
    if text is None or not text.lstrip().startswith(("[", "{")):
        return value
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return value
