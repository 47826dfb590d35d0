"""
Jobs' definitions to task objects, kept by their bytes: every run of a revision sends the same ones.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

import msgspec

from tiercel.errors import TaskFailed
from tiercel.flowspec.binder import bind_typed
from tiercel.flowspec.findings import Findings
from tiercel.flowspec.scalars import BROKEN
from tiercel.plugins.base import RunnableTask, Task
from tiercel.plugins.core.flow.workingdirectory import WorkingDirectory
from tiercel.plugins.registry import REGISTRY

KEPT_MAX: Final = 2000
"""Definitions that are kept; a definition has some hundred bytes, its object some thousand."""


def bind(definition: Any) -> Task:
    """Return the task of a definition; raise TaskFailed when it is none that a worker can run."""
    findings = Findings(strict=False)
    bound = bind_typed(Task, definition, None, findings)
    if bound is BROKEN or findings.incomplete:
        problems = "; ".join(str(problem) for problem in findings.problems(None))
        raise TaskFailed(f"The task cannot be run: {problems}")
    if not isinstance(bound, RunnableTask | WorkingDirectory):
        raise TaskFailed(f"A task of type '{bound.type}' is not run by a worker.")
    return bound


class Binder:
    """Binds definitions, each once."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, Task] = OrderedDict()
        REGISTRY.load()

    def task(self, definition: msgspec.Raw) -> Task:
        """Return the task of an encoded definition; raise TaskFailed as `bind` does."""
        key = bytes(definition)
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = bind(msgspec.msgpack.decode(key))
            if len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        return found
