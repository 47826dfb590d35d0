"""Single tasks and triggers, checked on their own: what an editor asks while a flow is written."""

from __future__ import annotations

from typing import Any

from tiercel.errors import Problem
from tiercel.flowspec.binder import bind_typed
from tiercel.flowspec.findings import Findings
from tiercel.flowspec.places import below
from tiercel.flowspec.scalars import BROKEN
from tiercel.flowspec.taskrule import check_task
from tiercel.flowspec.triggerrule import check_trigger
from tiercel.model.flow import Dialect
from tiercel.model.task import Task, Trigger


def check_task_document(data: Any) -> list[Problem]:
    """Return everything that is wrong with a task that is given as plain data."""
    findings = Findings()
    task = bind_typed(Task, data, None, findings)
    if task is not BROKEN and not findings.incomplete:
        dialect = Dialect.V1 if findings.old else Dialect.V2
        for each, path in below(task, ()):
            check_task(each, path, dialect, findings)
    return findings.problems(None)


def check_trigger_document(data: Any) -> list[Problem]:
    """Return everything that is wrong with a trigger that is given as plain data."""
    findings = Findings()
    trigger = bind_typed(Trigger, data, None, findings)
    if trigger is not BROKEN and not findings.incomplete:
        check_trigger(trigger, (), findings)
    return findings.problems(None)
