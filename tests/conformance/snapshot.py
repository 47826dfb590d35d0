"""
An execution as a case looks at it: its head, task runs and outputs in the shape that the API shows.

It is built from the records of the state store, so that what a case asserts does not hang on how the API writes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from tests.conformance.result import Mismatch
from tiercel.model.execution import Attempt, Execution, TaskRun
from tiercel.model.state import StateChange

TERMINAL = frozenset({"SUCCESS", "WARNING", "FAILED", "KILLED", "CANCELLED", "RETRIED", "SKIPPED"})


class Run:
    """One task run with its outputs."""

    def __init__(self, run: TaskRun, outputs: Mapping[str, Any] | None, parent: Run | None) -> None:
        self.run = run
        self.outputs = dict(outputs) if outputs is not None else {}
        self.parent = parent
        self.state = run.state.value
        self.view: dict[str, Any] = {
            "id": run.id,
            "taskId": run.task_id,
            "value": run.value,
            "iteration": run.iteration,
            "parentTaskRunId": parent.run.id if parent else None,
            "state": _state_view(run.history),
            "attempts": [_attempt_view(attempt) for attempt in run.attempts],
            "outputs": self.outputs,
            "dynamic": run.dynamic,
        }

    @property
    def values(self) -> list[str]:
        """The values of the loops around and of its own, outermost first."""
        around = self.parent.values if self.parent else []
        return [*around, self.run.value] if self.run.value is not None else around

    @property
    def history(self) -> list[str]:
        return [change.state.value for change in self.run.history]

    @property
    def started(self) -> datetime:
        return self.run.history[0].date

    @property
    def ended(self) -> datetime:
        return self.run.history[-1].date


class Snapshot:
    """One execution at one moment."""

    def __init__(
        self,
        execution: Execution,
        runs: Sequence[TaskRun],
        outputs: Mapping[int, Mapping[str, Any]],
        tree: Mapping[str, Any] | None = None,
        loop: Mapping[str, Any] | None = None,
    ) -> None:
        self.execution = execution
        self.task_runs = list(runs)
        self.outputs_by_seq = outputs
        self.outputs_tree = dict(tree or {})
        self.loop = loop if loop is not None else _loop_of(execution)
        self.runs: list[Run] = []
        by_seq: dict[int, Run] = {}
        for run in sorted(runs, key=lambda one: one.seq):
            made = Run(run, outputs.get(run.seq), by_seq.get(run.parent) if run.parent is not None else None)
            by_seq[run.seq] = made
            self.runs.append(made)

    @property
    def id(self) -> str:
        return self.execution.id

    @property
    def state(self) -> str:
        return self.execution.state.value

    @property
    def terminated(self) -> bool:
        return self.state in TERMINAL

    @property
    def history(self) -> list[str]:
        return [change.state.value for change in self.execution.history]

    @property
    def labels(self) -> list[tuple[str, str]]:
        return list(self.execution.labels)

    @property
    def view(self) -> dict[str, Any]:
        """The execution in the shape that the API shows."""
        head = self.execution
        return {
            "id": head.id,
            "tenantId": head.tenant_id,
            "namespace": head.namespace,
            "flowId": head.flow_id,
            "flowRevision": head.flow_revision,
            "state": _state_view(head.history),
            "labels": [{"key": key, "value": value} for key, value in head.labels],
            "inputs": head.inputs,
            "outputs": head.outputs,
            "variables": head.variables,
            "trigger": msgspec.to_builtins(head.trigger) if head.trigger else None,
            "parentId": head.parent_id,
            "originalId": head.original_id or head.id,
            "kind": head.kind.value,
            "scheduleDate": head.schedule_date,
            "metadata": {"attemptNumber": head.attempt_number},
            "loop": self.loop,
            "error": head.error,
            "taskRunList": [run.view for run in self.runs],
        }

    def run_at(self, place: int) -> Run:
        """Return the task run at a place in the list, -1 the last."""
        try:
            return self.runs[place]
        except IndexError:
            raise Mismatch(f"There is no task run at {place}: {self.summary()}") from None

    def run_of(self, task: str, values: Sequence[str] | None = None) -> Run:
        """Return the first task run of a task, with these values of the loops around when they are given."""
        for run in self.runs:
            if run.run.task_id == task and (values is None or run.values == [str(value) for value in values]):
                return run
        of_values = f" with values {list(values)}" if values else ""
        raise Mismatch(f"There is no task run of '{task}'{of_values}: {self.summary()}")

    def summary(self) -> str:
        """Say in one line what it is made of, for a person who reads why a case failed."""
        runs = ", ".join(
            f"{run.run.task_id}{run.values or ''}={run.state}" + (f" ({run.run.error})" if run.run.error else "")
            for run in self.runs[:40]
        )
        error = f" error: {self.execution.error}" if self.execution.error else ""
        return f"execution {self.state}{error}; {len(self.runs)} task runs: {runs}"


def _loop_of(execution: Execution) -> Mapping[str, Any] | None:
    """Return where an iteration stands in its loop: index, key, value, and the iterations around, outermost first."""
    for name in ("loop_run", "loop"):
        found = getattr(execution, name, None)
        if found is not None:
            data: Mapping[str, Any] = msgspec.to_builtins(found)
            return data
    item = (execution.variables or {}).get("item")
    return item if isinstance(item, Mapping) else None


def _state_view(history: Sequence[StateChange]) -> dict[str, Any]:
    states = [{"state": change.state.value, "date": change.date} for change in history]
    ended = history[-1].state.value in TERMINAL
    return {
        "current": history[-1].state.value,
        "histories": states,
        "startDate": history[0].date,
        "endDate": history[-1].date if ended else None,
    }


def _attempt_view(attempt: Attempt) -> dict[str, Any]:
    return {"state": _state_view(attempt.history), "workerId": attempt.worker_id, "logFile": attempt.log_file}
