"""
The variables that expressions see (reference 6.3), made lazily: a root is built when it is touched, and the outputs of
a task are asked for when an expression names the task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tiercel.executor.core.draft import Draft
from tiercel.executor.core.facts import Facts, Missing, Want
from tiercel.executor.core.inputs import inputs_of
from tiercel.executor.core.plan import Kind, Node
from tiercel.expression.nesting import nested
from tiercel.model.execution import Execution, LoopItem, LoopRun, TaskRun
from tiercel.model.flow import Dialect, Flow
from tiercel.model.live import OutputKind, OutputRecord
from tiercel.model.state import State
from tiercel.model.variable import visible


class LazyContext(Mapping[str, Any]):
    """A context whose roots are built on first use."""

    __slots__ = ("_built", "_makers")

    def __init__(self, makers: dict[str, Callable[[], Any]], plain: Mapping[str, Any]) -> None:
        self._makers = makers
        self._built: dict[str, Any] = dict(plain)

    def __getitem__(self, key: str) -> Any:
        if key in self._built:
            return self._built[key]
        value = self._built[key] = self._makers[key]()
        return value

    def __contains__(self, key: object) -> bool:
        return key in self._built or key in self._makers

    def __iter__(self) -> Iterator[str]:
        yield from self._makers
        yield from (key for key in self._built if key not in self._makers)

    def __len__(self) -> int:
        return len(set(self._makers) | set(self._built))


class LazyOutputs(Mapping[str, Any]):
    """`outputs`: task id -> its outputs, asked for one task at a time."""

    __slots__ = ("_built", "_draft", "_facts", "_names")

    def __init__(self, draft: Draft, facts: Facts) -> None:
        self._draft = draft
        self._facts = facts
        self._built: dict[str, Any] = {}
        self._names: list[str] | None = None

    def __getitem__(self, key: str) -> Any:
        if key in self._built:
            return self._built[key]
        plan = self._facts.plan
        if (plan is None or key not in plan.nodes) and key not in self._all():
            raise KeyError(key)
        tree = outputs_tree(key, self._draft, self._facts)
        if tree is None:
            raise KeyError(key)
        self._built[key] = tree
        return tree

    def _all(self) -> list[str]:
        if self._names is None:
            names = dict.fromkeys(self._facts.ask("output_names") if self._facts.outputs is not None else ())
            names.update(dict.fromkeys(record.task_id for record in self._draft.own_outputs()))
            loop = self._draft.execution.loop_run
            for execution_id in loop.executions if loop is not None else ():
                names.update(dict.fromkeys(self._facts.ask("outer_names", execution_id)))
            self._names = list(names)
        return self._names

    def __iter__(self) -> Iterator[str]:
        return iter([name for name in self._all() if outputs_tree(name, self._draft, self._facts) is not None])

    def __len__(self) -> int:
        return len(list(iter(self)))


def records_of(task_id: str, draft: Draft, facts: Facts, path: tuple[str, ...] | None = None) -> list[OutputRecord]:
    """Return the outputs of all runs of a task (or of one iteration's), unsaved ones too, later runs last."""
    own = {
        record.seq: record
        for record in draft.own_outputs()
        if record.task_id == task_id and record.kind is OutputKind.OUTPUTS and (path is None or record.path == path)
    }
    outer = _outer(task_id, draft, facts)
    if outer is not None:
        return outer
    saved = [record for record in facts.outputs_of(task_id, path) if record.seq not in own]
    saved.sort(key=lambda record: record.seq)
    return saved + list(own.values())


def _outer(task_id: str, draft: Draft, facts: Facts) -> list[OutputRecord] | None:
    """Return the outputs of a task outside the Loop that this execution is an iteration of; None for its own tasks."""
    loop = draft.execution.loop_run
    node = facts.node_of(task_id)
    if loop is None or node is None:
        return None
    depth = sum(1 for above in node.ancestors() if above.kind is Kind.LOOP)
    if depth >= len(loop.executions):
        return None
    found: list[OutputRecord] = facts.ask("outer", loop.executions[depth], task_id)
    return found


def item_of(loop: LoopRun) -> dict[str, Any]:
    """Return the variable `item` of an iteration."""
    shown = [_shown(item) for item in loop.parents]
    own = _shown(LoopItem(index=loop.index, key=loop.key, value=loop.value))
    return {**own, "parents": shown, **({"parent": shown[-1]} if shown else {})}


def _shown(item: LoopItem) -> dict[str, Any]:
    return {"index": item.index, "value": item.value, **({"key": item.key} if item.key is not None else {})}


def outputs_tree(
    task_id: str, draft: Draft, facts: Facts, path: tuple[str, ...] | None = None
) -> dict[str, Any] | None:
    """
    Return `outputs.<task id>`: the outputs, below the values of the iterations around; None when no run has any.

    Large values are loaded: they are facts of their own.
    """
    tree: dict[str, Any] | None = None
    for record in records_of(task_id, draft, facts, path):
        value = record.ref.value if record.ref.uri is None else facts.ask("large", record.ref.uri)
        tree = {} if tree is None else tree
        place = tree
        for part in record.path:
            place = place.setdefault(part, {})
        _merge(place, value or {})
    return tree


def _merge(into: dict[str, Any], value: Mapping[str, Any]) -> None:
    for key, item in value.items():
        if isinstance(item, Mapping) and isinstance(into.get(key), dict):
            copy = dict(into[key])
            _merge(copy, item)
            into[key] = copy
        else:
            into[key] = item


def path_of(draft: Draft, run: TaskRun) -> tuple[str, ...]:
    """Return the values of the iterations around a run and of itself, outermost first."""
    values = [] if run.value is None else [run.value]
    parent = run.parent
    while parent is not None:
        record = draft.get(parent)
        if record.run.value is not None:
            values.append(record.run.value)
        parent = record.run.parent
    return tuple(reversed(values))


def parents_of(draft: Draft, run: TaskRun, facts: Facts) -> list[dict[str, Any]]:
    """Return the variable `parents`: the flowables around that have a value or outputs, nearest first."""
    parents: list[dict[str, Any]] = []
    seq = run.parent
    while seq is not None:
        above = draft.get(seq).run
        entry: dict[str, Any] = {}
        if above.value is not None:
            entry["taskrun"] = {"value": above.value}
        own = [r for r in records_of(above.task_id, draft, facts, path_of(draft, above)) if r.seq == above.seq]
        if own and own[0].ref.value:
            entry["outputs"] = own[0].ref.value
        if facts.plan is not None and facts.plan.flow.dialect is Dialect.V2:
            entry["task"] = {"id": above.task_id}
        if entry:
            parents.append(entry)
        seq = above.parent
    return parents


def taskrun_of(draft: Draft, run: TaskRun) -> dict[str, Any]:
    """Return the variable `taskrun`."""
    taskrun: dict[str, Any] = {
        "id": run.id,
        "startDate": run.history[0].date,
        "attemptsCount": len(run.attempts),
    }
    if run.parent is not None:
        taskrun["parentId"] = draft.get(run.parent).run.id
    if run.value is not None:
        taskrun["value"] = run.value
    if run.iteration is not None:
        taskrun["iteration"] = run.iteration
    return taskrun


def execution_of(draft: Draft) -> dict[str, Any]:
    """Return the variable `execution`."""
    execution = draft.execution
    over = execution.state.is_terminated or execution.state is State.PAUSED
    return {
        "id": execution.loop_run.executions[0] if execution.loop_run is not None else execution.id,
        "startDate": execution.history[0].date,
        "originalId": execution.original_id or execution.id,
        "state": str(execution.state),
        **({"endDate": execution.history[-1].date} if over else {}),
        **({"outputs": execution.outputs} if execution.outputs else {}),
    }


def error_of(draft: Draft, facts: Facts) -> dict[str, Any]:
    """Return the variable `error`: the task that failed last and why; empty when none has."""
    failed = [record.run for record in all_runs(draft, facts) if record.run.state is State.FAILED]
    told = [run for run in failed if run.error is not None] or failed
    if not told:
        return {}
    message = told[-1].error or f"Task '{told[-1].task_id}' has failed."
    return {"taskId": told[-1].task_id, "message": message, "stackTrace": message}


def _sees_errors(node: Node) -> bool:
    """Tell whether a task runs after a failure: it, or a task around it, is of errors, finally or what is after."""
    return any(
        each.branch in ("errors", "finally", "after") or each.branch.startswith("listener.")
        for each in (node, *node.ancestors())
    )


def _trigger_of(execution: Execution, flow: Flow) -> dict[str, Any]:
    trigger = execution.trigger
    assert trigger is not None
    # The first dialect has no `_context`, and prints the variable as a whole.
    origin = {"_context": {"id": trigger.id, "type": trigger.type}} if flow.dialect is Dialect.V2 else {}
    return {**(trigger.variables or {}), **origin}


def tasks_of(draft: Draft, facts: Facts) -> dict[str, Any]:
    """Return the variable `tasks`: task id -> state, below the values of the iterations around."""
    runs = {record.run.seq: record.run for record in all_runs(draft, facts)}
    tree: dict[str, Any] = {}
    for run in runs.values():
        values = []
        above: TaskRun | None = run
        while above is not None:
            if above.value is not None:
                values.append(above.value)
            above = runs.get(above.parent) if above.parent is not None else None
        place = tree.setdefault(run.task_id, {})
        for value in reversed(values):
            place = place.setdefault(value, {})
        place["state"] = str(run.state)
    return tree


def all_runs(draft: Draft, facts: Facts) -> list[Any]:
    """Return the records of all task runs, ended ones too, in order."""
    if facts.runs is None:
        if facts.outputs is not None:
            raise Missing(Want("runs"))
        facts.runs = ()
    found = {record.run.seq: record for record in facts.runs}
    _overlay(draft, found)
    return [found[seq] for seq in sorted(found)]


def _overlay(draft: Draft, found: dict[int, Any]) -> None:
    if isinstance(draft._base, Draft):
        _overlay(draft._base, found)
    found.update(draft.runs)
    for seq in draft.removed:
        found.pop(seq, None)


def context_of(
    draft: Draft, facts: Facts, run: TaskRun | None = None, node: Node | None = None, **more: Any
) -> LazyContext:
    """Return the context of an expression of the flow, or of one of its tasks."""
    plan = facts.plan
    assert plan is not None
    flow = plan.flow
    execution = draft.execution
    makers: dict[str, Callable[[], Any]] = {
        "outputs": lambda: LazyOutputs(draft, facts),
        "labels": lambda: nested(execution.labels),
        "tasks": lambda: tasks_of(draft, facts),
        "execution": lambda: execution_of(draft),
    }
    plain: dict[str, Any] = {
        "flow": {
            "id": flow.id,
            "namespace": flow.namespace,
            "revision": execution.flow_revision,
            "tenantId": execution.tenant_id,
        },
        "globals": facts.around.globals,
        "envs": facts.around.envs,
        "kestra": facts.around.kestra,
        **execution.variables,
        **more,
    }
    if execution.inputs or flow.inputs:
        makers["inputs"] = lambda: facts.around.unseal(inputs_of(flow, execution.inputs, facts))
    if flow.variables or execution.variables:
        plain["vars"] = visible(flow.variables, execution)
    if execution.loop_run is not None:
        plain.setdefault("item", item_of(execution.loop_run))
    if execution.trigger is not None:
        plain["trigger"] = _trigger_of(execution, flow)
    if run is not None:
        makers["taskrun"] = lambda: taskrun_of(draft, run)
        makers["parents"] = lambda: parents_of(draft, run, facts)
        if run.parent is not None:
            makers["parent"] = lambda: (context["parents"] or [{}])[0]
    if node is not None:
        plain["task"] = {"id": node.id, "type": node.task.type}
        if _sees_errors(node):
            makers["error"] = lambda: error_of(draft, facts)
    context = LazyContext(makers, plain)
    return context
