"""
Executions and task runs in the form of Kestra's API (reference 3.1 to 3.3): what programs and people read.

The result is plain data (task runs are written already); instants stay instants and are written by the encoder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from tiercel.model.duration import format_duration
from tiercel.model.execution import Attempt, Execution, OutputRef, TaskFixture, TaskRun
from tiercel.model.state import State, StateChange

_ENCODE: Final = msgspec.json.Encoder().encode


def execution_json(execution: Execution, *, now: datetime) -> dict[str, Any]:
    """Return an execution without its task runs, as in lists of executions."""
    data: dict[str, Any] = {
        "id": execution.id,
        "tenantId": execution.tenant_id,
        "namespace": execution.namespace,
        "flowId": execution.flow_id,
        "flowRevision": execution.flow_revision,
    }
    if execution.inputs is not None:
        data["inputs"] = execution.inputs
    if execution.outputs is not None:
        data["outputs"] = execution.outputs
    data["labels"] = [{"key": key, "value": value} for key, value in execution.labels]
    if execution.variables:
        data["variables"] = execution.variables
    data["state"] = state_json(execution.state, execution.history, now=now)
    if execution.parent_id is not None:
        data["parentId"] = execution.parent_id
    data["originalId"] = execution.original_id or execution.id
    if (trigger := execution.trigger) is not None:
        data["trigger"] = {"id": trigger.id, "type": trigger.type, "variables": trigger.variables}
        if trigger.log_file is not None:
            data["trigger"]["logFile"] = trigger.log_file
    if execution.schedule_date is not None:
        data["scheduleDate"] = execution.schedule_date
    data["metadata"] = {
        "attemptNumber": execution.attempt_number,
        "originalCreatedDate": execution.original_created or execution.history[0].date,
    }
    data["kind"] = execution.kind.value
    if (loop := execution.loop_run) is not None:
        data["loopRun"] = {
            "taskId": loop.task_id,
            "taskRunId": loop.task_run_id,
            "index": loop.index,
            "key": loop.key,
            "value": loop.value,
            "parents": [{"index": item.index, "key": item.key, "value": item.value} for item in loop.parents],
        }
    if execution.fixtures:
        data["fixtures"] = [_fixture(each) for each in execution.fixtures]
    if execution.breakpoints:
        data["breakpoints"] = [{"id": each.id, "value": each.value} for each in execution.breakpoints]
    data["deleted"] = execution.deleted
    if execution.error is not None:
        data["error"] = execution.error
    return data


def _fixture(fixture: TaskFixture) -> dict[str, Any]:
    return {
        "id": fixture.id,
        "value": fixture.value,
        "state": fixture.state.value,
        "outputs": fixture.outputs,
        "description": fixture.description,
    }


def task_runs_json(
    execution: Execution, runs: Iterable[TaskRun], outputs: Mapping[int, OutputRef], *, now: datetime
) -> msgspec.Raw:
    """
    Return task runs in their order, each with its outputs.

    They are written one by one: as plain data, all those of a wide loop would take ten times the memory of their text.
    """
    known = list(runs)
    ids = {run.seq: run.id for run in known}
    texts = (_ENCODE(_task_run(execution, run, ids, outputs.get(run.seq), now)) for run in known)
    return msgspec.Raw(b"[" + b",".join(texts) + b"]")


def _task_run(
    execution: Execution, run: TaskRun, ids: Mapping[int, str], ref: OutputRef | None, now: datetime
) -> dict[str, Any]:
    data: dict[str, Any] = {
        "id": run.id,
        "tenantId": execution.tenant_id,
        "executionId": execution.id,
        "namespace": execution.namespace,
        "flowId": execution.flow_id,
        "taskId": run.task_id,
    }
    if run.parent is not None and run.parent in ids:
        data["parentTaskRunId"] = ids[run.parent]
    if run.value is not None:
        data["value"] = run.value
    if run.iteration is not None:
        data["iteration"] = run.iteration
    if run.attempts:
        data["attempts"] = [_attempt(attempt, now) for attempt in run.attempts]
    data["outputs"] = None if ref is None else ref.value if ref.uri is None else {"uri": ref.uri, "size": ref.size}
    data["state"] = state_json(run.state, run.history, now=now)
    if run.dynamic:
        data["dynamic"] = True
    if run.error is not None:
        data["error"] = run.error
    return data


def _attempt(attempt: Attempt, now: datetime) -> dict[str, Any]:
    data: dict[str, Any] = {"state": state_json(attempt.state, attempt.history, now=now)}
    if attempt.worker_id is not None:
        data["workerId"] = attempt.worker_id
    if attempt.log_file is not None:
        data["logFile"] = attempt.log_file
    return data


def state_json(state: State, history: Sequence[StateChange], *, now: datetime) -> dict[str, Any]:
    """Return a state with its history, when it began, when it ended and how long it took."""
    data: dict[str, Any] = {
        "current": state.value,
        "histories": [{"state": change.state.value, "date": change.date} for change in history],
    }
    if not history:
        return data
    first, last = history[0].date, history[-1].date
    data["startDate"] = first
    if state.is_terminated or state is State.PAUSED:
        data["endDate"] = last
    data["duration"] = format_duration((last if len(history) > 1 else max(now, first)) - first)
    return data
