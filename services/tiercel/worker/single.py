"""
One task alone, outside of any service: for tests of tasks, and for trying a task without a queue.

It runs as a worker runs it, with the variables that are given and nothing else around.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tiercel.client.base import ApiClient
from tiercel.errors import TiercelError
from tiercel.expression.plain import plain
from tiercel.model.execution import LogEntry, MetricEntry
from tiercel.model.state import State
from tiercel.model.tenant import MAIN_TENANT
from tiercel.plugins.base import KeyValues, RunnableTask
from tiercel.runtime.clock import Clock, SystemClock
from tiercel.secrets.base import Secrets
from tiercel.secrets.environment import EnvironmentSecrets
from tiercel.storage.base import Storage
from tiercel.worker.attempt import Run
from tiercel.worker.binding import bind
from tiercel.worker.context import TaskContext
from tiercel.worker.runlog import Origin
from tiercel.worker.settings import WorkerSettings
from tiercel.worker.surroundings import Surroundings


class RunOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a task ended, and everything that it left."""

    state: State
    outputs: dict[str, Any]
    """As the task returned them: dates are dates."""
    plain_outputs: dict[str, Any]
    """As a flow sees them afterwards."""
    error: str | None
    exception: BaseException | None
    logs: list[LogEntry]
    metrics: list[dict[str, Any]]


class Bench:
    """A place to run single tasks in: its contexts share storage, logs and settings."""

    def __init__(
        self,
        storage: Storage,
        *,
        secrets: Secrets | None = None,
        kv: KeyValues | None = None,
        api: ApiClient | None = None,
        clock: Clock | None = None,
        settings: WorkerSettings | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.logs: list[LogEntry] = []
        self.metrics: list[MetricEntry] = []
        self.surroundings = Surroundings(
            storage=storage,
            secrets=secrets or EnvironmentSecrets(environment),
            settings=settings or WorkerSettings(),
            clock=clock or SystemClock(),
            log_sink=self.logs.append,
            metric_sink=self.metrics.append,
            key_values=kv,
            api=api,
            environment=dict(os.environ) if environment is None else environment,
        )

    def context(
        self,
        variables: Mapping[str, Any] | None = None,
        *,
        task: Mapping[str, Any] | None = None,
        dialect: str = "2.x",
        working_dir: Path | None = None,
    ) -> TaskContext:
        """Return the context of a run with these variables; its ids come from them where they hold some."""
        given = dict(variables or {})
        flow, execution, run = (_map(given.get(name)) for name in ("flow", "execution", "taskrun"))
        task_id = str((task or _map(given.get("task"))).get("id", "task"))
        origin = Origin(
            tenant_id=str(flow.get("tenantId") or MAIN_TENANT),
            namespace=str(flow.get("namespace", "company.team")),
            flow_id=str(flow.get("id", "flow")),
            execution_id=str(execution.get("id", "execution")),
            task_id=task_id,
            task_run_id=str(run.get("id", "taskrun")),
            attempt=1,
        )
        around = self.surroundings
        known = {"envs": around.envs, "globals": around.settings.globals, "kestra": around.settings.kestra}
        if task is not None:
            known["task"] = {"id": task_id, "type": task.get("type")}
        level = None if task is None or task.get("logLevel") is None else str(task["logLevel"])
        context = TaskContext(
            around, origin, {**known, **given}, dialect=dialect, log_level=level, working_dir=working_dir
        )
        context.variables = context.decrypted(context.variables)
        return context

    async def run(
        self,
        definition: Mapping[str, Any],
        variables: Mapping[str, Any] | None = None,
        *,
        dialect: str = "2.x",
        working_dir: Path | None = None,
    ) -> RunOutcome:
        """Run one task with these variables."""
        context = self.context(variables, task=definition, dialect=dialect, working_dir=working_dir)
        first = len(self.logs)
        try:
            task = bind(dict(definition))
            if not isinstance(task, RunnableTask):
                raise TypeError(f"A task of type '{task.type}' does not run alone.")
            outcome = await Run(task, context).outcome()
            outputs = dict(outcome.outputs or {})
            return RunOutcome(
                state=outcome.state,
                outputs=outputs,
                plain_outputs=plain(outputs),
                error=outcome.error,
                exception=outcome.exception,
                logs=self.logs[first:],
                metrics=context.metrics.snapshot(),
            )
        except TiercelError as error:
            return RunOutcome(
                state=State.FAILED,
                outputs={},
                plain_outputs={},
                error=str(error),
                exception=error,
                logs=self.logs[first:],
                metrics=[],
            )
        finally:
            await context.close()


async def run_task(
    definition: Mapping[str, Any],
    variables: Mapping[str, Any] | None = None,
    *,
    storage: Storage,
    secrets: Secrets | None = None,
    kv: KeyValues | None = None,
    clock: Clock | None = None,
    settings: WorkerSettings | None = None,
    environment: Mapping[str, str] | None = None,
    dialect: str = "2.x",
    working_dir: Path | None = None,
) -> RunOutcome:
    """Run one task alone and return everything that it left."""
    bench = Bench(storage, secrets=secrets, kv=kv, clock=clock, settings=settings, environment=environment)
    return await bench.run(definition, variables, dialect=dialect, working_dir=working_dir)


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
