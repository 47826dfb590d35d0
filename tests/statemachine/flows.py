"""Flows for the core's tests, written short: `flow("a", "b")`, `task("a", retry=…)`, `group("Parallel", "p", …)`."""

from __future__ import annotations

from typing import Annotated, Any

import yaml

from tiercel.plugins.base import DYNAMIC, RunnableTask
from tiercel.plugins.registry import register

TASK = "tiercel.tests.Task"
CORE = "io.kestra.plugin.core.flow."


@register(TASK)
class AnyTask(RunnableTask, frozen=True, kw_only=True):
    """A task of which only its place in the flow matters."""

    value: Annotated[Any, DYNAMIC] = None


def task(task_id: str, **properties: Any) -> dict[str, Any]:
    """A task that a worker runs."""
    return {"id": task_id, "type": TASK, "value": task_id, **properties}


def group(kind: str, task_id: str, *tasks: str | dict[str, Any], **properties: Any) -> dict[str, Any]:
    """A flowable with tasks."""
    inner = {"tasks": [_task(one) for one in tasks]} if tasks else {}
    return {"id": task_id, "type": CORE + kind, **inner, **properties}


def _task(one: str | dict[str, Any]) -> dict[str, Any]:
    return task(one) if isinstance(one, str) else one


def flow(*tasks: str | dict[str, Any], **properties: Any) -> str:
    """The text of a flow with these tasks."""
    return yaml.safe_dump(
        {"id": "f", "namespace": "company.team", "tasks": [_task(one) for one in tasks], **properties}, sort_keys=False
    )
