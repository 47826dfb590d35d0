"""
Facts: what a decision may know besides the execution itself.

A fact that is not there is asked for with `Missing`; the shell drops the draft, fetches, and calls again with the same
event and all facts so far, so that every pass sees the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from tiercel.executor.core.plan import FlowPlan, Node
from tiercel.expression.rendering import Engine
from tiercel.model.execution import Execution
from tiercel.model.live import OutputRecord, RunRecord


class Want(NamedTuple):
    """
    One fact: its sort and what names it.

    `outputs` (task id) · `values` (seq) · `runs` () · `flow` (namespace, id, revision or None) · `lanes` () ·
    `secret` (namespace, key) · `kv` (namespace, key, inherited) · `file` (address) · `file_size` · `file_exists` ·
    `file_uri`.
    """

    sort: str
    key: tuple[Any, ...] = ()


class Lanes(NamedTuple):
    """The lanes that the workers serve which this executor has heard; `is_whole` when there can be no others."""

    served: frozenset[str]
    is_whole: bool = True


class Missing(Exception):
    """The decision needs these facts; nothing was decided."""

    def __init__(self, *wants: Want) -> None:
        super().__init__(", ".join(f"{want.sort}{want.key}" for want in wants))
        self.wants = wants


class Failure(NamedTuple):
    """A fact that cannot be had: the error that asking for it raised."""

    error: Exception


OutputIndex = dict[str, dict[tuple[str, ...], dict[int, OutputRecord]]]
"""Outputs by task id, path of iterations, and place of the run."""


class Ignored(NamedTuple):
    """
    What the operator has the executor leave alone: executions by id, flows (`tenant|namespace|flow`), namespaces
    (`tenant|namespace`), tenants.

    It is the brake for executions that do harm: they are created and stay as they are, until they are killed.
    """

    executions: frozenset[str] = frozenset()
    flows: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    tenants: frozenset[str] = frozenset()

    def covers(self, execution: Execution) -> bool:
        """Tell whether an execution is left alone."""
        if not any(self):
            return False
        namespace = f"{execution.tenant_id}|{execution.namespace}"
        return (
            execution.id in self.executions
            or execution.tenant_id in self.tenants
            or namespace in self.namespaces
            or f"{namespace}|{execution.flow_id}" in self.flows
        )


class Surroundings(NamedTuple):
    """What is the same for all executions of a process: expression engines, variables of the installation, keys."""

    engines: Mapping[str, Engine]
    globals: Mapping[str, Any]
    envs: Mapping[str, Any]
    seal: Callable[[str], Any] | None
    """Encrypts a text, as a value that says so of itself; None without an encryption key."""
    unseal: Callable[[Any], Any]
    """Replaces such values, inside maps and lists."""
    jobs_max: int = 1000
    chunk: int = 500
    ignored: Ignored = Ignored()
    kestra: Mapping[str, str] = {}


class Facts:
    """The facts about one execution."""

    __slots__ = ("around", "at", "known", "outputs", "plan", "runs")

    def __init__(self, plan: FlowPlan | None, around: Surroundings) -> None:
        self.plan = plan
        self.at = datetime.min
        """The time of the event that is being decided."""
        self.around = around
        self.outputs: OutputIndex | None = None
        """Outputs as of the last commit; None for a new execution, which has none."""
        self.runs: Sequence[RunRecord] | None = None
        self.known: dict[Want, Any] = {}

    @property
    def engine(self) -> Engine:
        """The expression engine of the flow's dialect."""
        return self.around.engines[str(self.plan.flow.dialect) if self.plan is not None else "1.x"]

    def node_of(self, task_id: str) -> Node | None:
        """Return the place of a task in the flow; None for a task of a dynamic run, or when there is no flow."""
        return self.plan.nodes.get(task_id) if self.plan is not None else None

    def outputs_of(self, task_id: str, path: tuple[str, ...] | None = None) -> Iterable[OutputRecord]:
        """Return the saved outputs of all runs of a task, or of those of one iteration."""
        if self.outputs is None:
            return ()
        found = self.outputs.get(task_id)
        if found is None:
            raise Missing(Want("outputs", (task_id,)))
        if path is not None:
            return found.get(path, {}).values()
        return (record for records in found.values() for record in records.values())

    def ask(self, sort: str, *key: Any) -> Any:
        """Return a fact, raise what asking for it raised, or Missing."""
        want = Want(sort, key)
        if want not in self.known:
            raise Missing(want)
        value = self.known[want]
        if isinstance(value, Failure):
            raise value.error
        return value
