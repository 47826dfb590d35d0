"""What a run is called where an engine lists containers: a name that people read, labels that programs filter by."""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from typing import Any, Final

from tiercel.plugins.base import RunContext
from tiercel.storage.uris import slug

LABEL: Final = "kestra.io/"
LABEL_LENGTH_MAX: Final = 63
"""Letters of a label's value, and of a name, that every system of containers takes."""
CHANCE: Final = 8
"""Letters at the end of a name that tell the runs of a task apart."""
_LETTERS: Final = string.ascii_lowercase + string.digits


def labels(context: RunContext, *, prefix: str = LABEL, lowercase: bool = False) -> dict[str, str]:
    """
    Return what a container says of the run that it belongs to; attempts count from 0 there, as Kestra's do.

    A runner of a package may need another prefix of the names, or none, and values in lower case.
    """
    found = {
        "namespace": context.namespace,
        "flow-id": context.flow_id,
        "task-id": _task_id(context),
        "execution-id": context.execution_id,
        "taskrun-id": context.task_run_id,
        "taskrun-attempt": str(context.attempt - 1),
    }
    return {f"{prefix}{name}": normalized(value.lower() if lowercase else value) for name, value in found.items()}


def job_name(context: RunContext) -> str:
    """Return a name for the container of a run: `namespace-flow-task-` and random letters, in lower case."""
    read = slug("-".join((context.namespace, context.flow_id, _task_id(context))))
    chance = "".join(secrets.choice(_LETTERS) for _ in range(CHANCE))
    return f"{normalized(read[: LABEL_LENGTH_MAX - CHANCE - 1])}-{chance}".lstrip("-")


def normalized(text: str) -> str:
    """Cut a label's value to its length; it does not end with a sign then."""
    return text[:LABEL_LENGTH_MAX].rstrip("-_.")


def _task_id(context: RunContext) -> str:
    task: Any = context.variables.get("task")
    return str(task.get("id", "")) if isinstance(task, Mapping) else ""
