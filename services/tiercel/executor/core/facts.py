"""
Facts: what a decision may know besides the execution itself.

A fact that is not there is asked for with `Missing`; the shell drops the draft, fetches, and calls again with the same
event and all facts so far, so that every pass sees the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tiercel.executor.core.plan import FlowPlan
from tiercel.expression.rendering import Engine
from tiercel.model.execution import Execution
from tiercel.model.flow import Flow
from tiercel.model.live import OutputRecord, RunRecord


class Want(NamedTuple):
    """
    One fact: its sort and what names it.

    `outputs` (task id) · `values` (seq) · `runs` () · `flow` (namespace, id, revision or None) · `secret` (namespace,
    key) · `kv` (namespace, key, inherited) · `file` (address) · `file_size` · `file_exists` · `file_uri`.
    """

    sort: str
    key: tuple[Any, ...] = ()


class Missing(Exception):  # noqa: N818 - a question, not an error
    """The decision needs these facts; nothing was decided."""

    def __init__(self, *wants: Want) -> None:
        super().__init__(", ".join(f"{want.sort}{want.key}" for want in wants))
        self.wants = wants


class Failure(NamedTuple):
    """A fact that cannot be had: the error that asking for it raised."""

    error: Exception


OutputIndex = dict[str, dict[tuple[str, ...], dict[int, OutputRecord]]]
"""Outputs by task id, path of iterations, and place of the run."""


class Surroundings(NamedTuple):
    """What is the same for all executions of a process: the expression engine, variables of the installation, keys."""

    engine: Engine
    globals: Mapping[str, Any]
    envs: Mapping[str, Any]
    encrypt: Callable[[str], Any]
    decrypt: Callable[[Any], Any]
    type_outputs: Callable[[Flow, Mapping[str, Any]], dict[str, Any]]
    conditions_hold: Callable[[Sequence[Any], Flow, Execution], bool]
    jobs_max: int = 1000
    chunk: int = 500


class Facts:
    """The facts about one execution."""

    __slots__ = ("around", "known", "outputs", "plan", "runs")

    def __init__(self, plan: FlowPlan | None, around: Surroundings) -> None:
        self.plan = plan
        self.around = around
        self.outputs: OutputIndex | None = None
        """Outputs as of the last commit; None for a new execution, which has none."""
        self.runs: Sequence[RunRecord] | None = None
        self.known: dict[Want, Any] = {}

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
