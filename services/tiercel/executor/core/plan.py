"""
Flow plans: a flow's revision, prepared once for the many executions that follow it.

A node is a task in its place: its kind, its parent, the lists of its enabled children, and its definition as bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final

import msgspec

from tiercel.model.execution import LoopRun
from tiercel.model.flow import Flow, Task
from tiercel.plugins.base import ExecutableTask, ExecutionTask, FlowableTask
from tiercel.plugins.core.flow.approval import Approval
from tiercel.plugins.core.flow.choice import If, Switch
from tiercel.plugins.core.flow.each import EachParallel, EachSequential, ForEach
from tiercel.plugins.core.flow.items import Items, steps_of
from tiercel.plugins.core.flow.loop import Loop, LoopUntil
from tiercel.plugins.core.flow.parallel import Dag, Parallel
from tiercel.plugins.core.flow.pause import Pause
from tiercel.plugins.core.flow.subflow import ForEachItem, Subflow
from tiercel.plugins.core.flow.workingdirectory import WorkingDirectory

ROOT: Final = -1
"""The place (`seq`) that stands for the execution itself where a parent is named."""


class Kind(Enum):
    """How a task is run."""

    RUNNABLE = "runnable"
    SEQUENTIAL = "sequential"
    PARALLEL = "parallel"
    DAG = "dag"
    FOR_EACH = "for_each"
    EACH_PARALLEL = "each_parallel"
    CHOICE = "choice"
    PAUSE = "pause"
    APPROVAL = "approval"
    LOOP_UNTIL = "loop_until"
    LOOP = "loop"
    SUBFLOW = "subflow"
    ITEMS = "items"
    EXECUTION = "execution"
    UNKNOWN = "unknown"

    @property
    def has_children(self) -> bool:
        """Tell whether the executor runs other tasks inside it."""
        return self in _WITH_CHILDREN

    @property
    def iterates(self) -> bool:
        """Tell whether its children are executions, which it counts itself."""
        return self in (Kind.LOOP, Kind.ITEMS)


_WITH_CHILDREN: Final = frozenset(
    {
        Kind.SEQUENTIAL,
        Kind.PARALLEL,
        Kind.DAG,
        Kind.FOR_EACH,
        Kind.EACH_PARALLEL,
        Kind.CHOICE,
        Kind.PAUSE,
        Kind.APPROVAL,
        Kind.LOOP_UNTIL,
    }
)

_KINDS: Final[tuple[tuple[type[Task], Kind], ...]] = (
    (WorkingDirectory, Kind.RUNNABLE),
    (Parallel, Kind.PARALLEL),
    (Dag, Kind.DAG),
    (ForEach, Kind.FOR_EACH),
    (EachSequential, Kind.FOR_EACH),
    (EachParallel, Kind.EACH_PARALLEL),
    (If, Kind.CHOICE),
    (Switch, Kind.CHOICE),
    (Pause, Kind.PAUSE),
    (Approval, Kind.APPROVAL),
    (LoopUntil, Kind.LOOP_UNTIL),
    (Loop, Kind.LOOP),
    (Subflow, Kind.SUBFLOW),
    (ForEachItem, Kind.SEQUENTIAL),
    (Items, Kind.ITEMS),
    (FlowableTask, Kind.SEQUENTIAL),
    (ExecutionTask, Kind.EXECUTION),
    (ExecutableTask, Kind.UNKNOWN),
)


def kind_of(task: Task) -> Kind:
    """Return how a task is run."""
    for cls, kind in _KINDS:
        if isinstance(task, cls):
            return kind
    return Kind.RUNNABLE


class Node:
    """A task in its place in the flow; `branches` hold its enabled children by list."""

    __slots__ = ("branch", "branches", "definition", "document", "id", "kind", "parent", "task")

    def __init__(self, task: Task, parent: Node | None, branch: str, document: Mapping[str, Any]) -> None:
        self.task = task
        self.id = task.id
        self.kind = kind_of(task)
        self.parent = parent
        self.branch = branch
        self.document = document
        self.definition = msgspec.Raw(msgspec.msgpack.encode(document))
        self.branches: dict[str, tuple[Node, ...]] = {}

    def ancestors(self) -> Iterator[Node]:
        """Yield the flowables around, nearest first."""
        node = self.parent
        while node is not None:
            yield node
            node = node.parent


class FlowPlan:
    """A flow's revision, prepared: nodes by task id, and the lists of the flow itself."""

    __slots__ = ("branches", "flow", "loops", "nodes", "reached", "successors")

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.loops: dict[str, FlowPlan] = {}
        self.nodes: dict[str, Node] = {}
        self.reached: dict[str, Any] = {}
        self.successors: dict[str, Node | None] = {}
        documents = dict(_documents(flow.document))
        self.branches = {
            "tasks": self._nodes(flow.tasks, None, "tasks", documents),
            "errors": self._nodes(flow.errors, None, "errors", documents),
            "finally": self._nodes(flow.finally_, None, "finally", documents),
            "after": tuple(
                node
                for place, listener in enumerate(flow.listeners)
                for node in self._nodes(listener.tasks, None, f"listener.{place}", documents)
            )
            + self._nodes(flow.after_execution, None, "after", documents),
        }

    def _nodes(
        self, tasks: tuple[Task, ...], parent: Node | None, branch: str, documents: Mapping[str, Mapping[str, Any]]
    ) -> tuple[Node, ...]:
        nodes = []
        for task in tasks:
            node = Node(task, parent, branch, documents.get(task.id) or msgspec.to_builtins(task))
            self.nodes[task.id] = node
            if isinstance(task, FlowableTask):
                for name, children in task.branches():
                    node.branches[name] = self._nodes(children, node, name, documents)
            if isinstance(task, ForEachItem):
                is_inside = any(above.kind in (Kind.FOR_EACH, Kind.EACH_PARALLEL) for above in node.ancestors())
                node.branches["tasks"] = self._nodes(steps_of(task, is_inside=is_inside), node, "tasks", documents)
            if not task.disabled:
                nodes.append(node)
        return tuple(nodes)

    def inside(self, loop_id: str) -> FlowPlan:
        """Return the plan of an iteration of a Loop: the same tasks, of which the loop's own lists are run."""
        found = self.loops.get(loop_id)
        if found is None:
            node = self.nodes[loop_id]
            assert isinstance(node.task, Loop)
            found = self.loops[loop_id] = FlowPlan.__new__(FlowPlan)
            found.flow = msgspec.structs.replace(
                self.flow,
                outputs=node.task.outputs,
                concurrency=None,
                quotas=(),
                sla=(),
                after_execution=(),
                listeners=(),
            )
            found.loops, found.nodes, found.reached = self.loops, self.nodes, self.reached
            found.successors = self.successors
            found.branches = {**node.branches, "after": ()}
        return found

    def node(self, task_id: str) -> Node:
        """Return the node of a task of this flow."""
        return self.nodes[task_id]


def inside(plan: FlowPlan | None, loop: LoopRun | None) -> FlowPlan | None:
    """Return the plan of an execution: of the whole flow, or of the Loop that it is an iteration of."""
    if plan is None or loop is None:
        return plan
    return plan.inside(loop.task_id) if loop.task_id in plan.nodes else None


def _documents(value: Any, key: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        if isinstance(value.get("id"), str) and "." in str(value.get("type", "")) and key != "triggers":
            yield value["id"], value
        for name, item in value.items():
            if name not in ("triggers", "inputs", "variables", "pluginDefaults"):
                yield from _documents(item, name)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _documents(item, key)
