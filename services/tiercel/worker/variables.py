"""The variables of a run: what the job carries, what every worker knows, and large outputs as promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiercel.expression.encryption import ENCRYPTED_TYPE
from tiercel.messages.worker_job import TaskJob
from tiercel.plugins.base import Task
from tiercel.worker.core.question import LargeValue
from tiercel.worker.surroundings import Surroundings


def variables_of(job: TaskJob, task: Task, surroundings: Surroundings) -> dict[str, Any]:
    """Return the variables of a job's expressions; encrypted values are still encrypted."""
    variables = dict(job.context)
    variables["task"] = {"id": task.id, "type": task.type}
    variables["envs"] = surroundings.envs
    variables["globals"] = surroundings.settings.globals
    variables["kestra"] = surroundings.settings.kestra
    for path, uri in job.large:
        place_large(variables, path, uri)
    return variables


def place_large(variables: dict[str, Any], path: Sequence[str], uri: str) -> None:
    """Put a promise of a stored value at a path."""
    place = variables
    for part in path[:-1]:
        below = place.get(part)
        if not isinstance(below, dict):
            below = place[part] = {}
        place = below
    place[path[-1]] = LargeValue(uri)


def has_encrypted(value: Any) -> bool:
    """Tell whether something in a value is encrypted."""
    if isinstance(value, Mapping):
        if isinstance(value, LargeValue):
            return False
        return value.get("type") == ENCRYPTED_TYPE or any(has_encrypted(item) for item in value.values())
    return isinstance(value, list) and any(has_encrypted(item) for item in value)
