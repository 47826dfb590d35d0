"""
The graph of a flow, for drawing: a node per task and trigger, a cluster per flowable, edges as the work goes.

A cluster has a start and an end of its own, and a node where all its ways meet before `finally` and `afterExecution`.
The flow itself is the cluster `root`; its triggers form the cluster `Triggers` in front of it. A subflow is one node
until it is expanded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from tiercel.errors import Refused
from tiercel.model.execution import TaskRun
from tiercel.model.flow import Flow
from tiercel.model.property import is_expression
from tiercel.model.task import Task
from tiercel.plugins.base import FlowableTask
from tiercel.plugins.core.flow.branching import BranchingTask
from tiercel.plugins.core.flow.choice import If, Switch
from tiercel.plugins.core.flow.each import EachParallel, EachSequential, ForEach
from tiercel.plugins.core.flow.loop import Loop
from tiercel.plugins.core.flow.parallel import Dag, Parallel
from tiercel.plugins.core.flow.subflow import ForEachItem, Subflow

ROOT: Final = "root"
TRIGGERS: Final = "Triggers"
# No task can have these ids.
START: Final = "~start"
END: Final = "~end"
FINALLY: Final = "~finally"
AFTER_EXECUTION: Final = "~afterExecution"
MAX_NODES: Final = 10_000
"""Nodes of one graph: nobody sees more, and flows that expand one another would have no end."""

FindFlow = Callable[[str, str], Flow | None]
"""Finds a flow by namespace and id."""


class Relation(StrEnum):
    """How the node at the end of an edge comes to run."""

    SEQUENTIAL = "SEQUENTIAL"
    CHOICE = "CHOICE"
    ERROR = "ERROR"
    FINALLY = "FINALLY"
    AFTER_EXECUTION = "AFTER_EXECUTION"
    PARALLEL = "PARALLEL"
    DYNAMIC = "DYNAMIC"


class NodeRuns(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What has become of a task in an execution: how many runs are in which state, and the run when it is one."""

    states: dict[str, int]
    id: str | None = None
    state: str | None = None


class GraphNode(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """
    One node: `kind` is start, end, finally, afterExecution, task or trigger.

    `relation` says how it runs what it holds.
    """

    uid: str
    kind: str
    id: str | None = None
    type: str | None = None
    relation: Relation | None = None
    subflow: str | None = None
    task_runs: NodeRuns | None = None
    disabled: bool = False


class GraphEdge(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One edge; `value` is that of the case that leads along it."""

    source: str
    target: str
    relation: Relation | None = None
    value: str | None = None


class GraphCluster(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The nodes of one flowable without those of inner clusters; `parents` lie around it, outermost first."""

    uid: str
    nodes: tuple[str, ...]
    parents: tuple[str, ...]
    start: str
    end: str


class FlowGraph(msgspec.Struct, frozen=True, kw_only=True):
    """All nodes, edges and clusters; the flow itself is not among the clusters."""

    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]
    clusters: tuple[GraphCluster, ...]


def flow_graph(
    flow: Flow,
    *,
    expanded: Collection[str] = (),
    find: FindFlow | None = None,
    runs: Iterable[TaskRun] = (),
    disabled_triggers: Collection[str] = (),
    resolved: Mapping[str, tuple[str, str]] | None = None,
) -> FlowGraph:
    """
    Draw a flow; `expanded` holds the uids of subflow tasks to draw from within.

    `runs` are the task runs of an execution of it, which are laid over the tasks; `disabled_triggers` those of the
    flow's triggers that a person has switched off; `resolved` tells for subflow tasks of the execution, by their ids,
    which namespace and flow their expressions name.

    Raises Refused when a subflow to expand is not known before the execution, or does not exist.
    """
    drawing = _Drawing(frozenset(expanded), find, resolved or {})
    drawing.flow(flow, ROOT, ())
    clusters = tuple(cluster for cluster in drawing.clusters() if cluster.uid != ROOT)
    nodes = _overlaid(drawing, flow, runs, disabled_triggers)
    return FlowGraph(nodes=tuple(nodes), edges=tuple(drawing.edges), clusters=clusters)


def _overlaid(
    drawing: _Drawing, flow: Flow, runs: Iterable[TaskRun], disabled_triggers: Collection[str]
) -> Iterable[GraphNode]:
    """Yield the nodes with what is known of their tasks and triggers; those of expanded subflows are other flows'."""
    by_task: dict[str, list[TaskRun]] = {}
    for run in runs:
        by_task.setdefault(run.task_id, []).append(run)
    off = {trigger.id for trigger in flow.triggers if trigger.disabled} | set(disabled_triggers)
    for node in drawing.nodes:
        if node.id is None or node.uid in drawing.foreign:
            yield node
        elif node.kind == "trigger":
            yield msgspec.structs.replace(node, disabled=node.id in off)
        else:
            found = by_task.get(node.id)
            yield msgspec.structs.replace(node, task_runs=_runs(found)) if found else node


def _runs(found: list[TaskRun]) -> NodeRuns:
    states = dict(Counter(str(run.state) for run in found))
    only = found[0] if len(found) == 1 else None
    return NodeRuns(states=states, id=only.id if only else None, state=str(only.state) if only else None)


class _Drawing:
    """Collects nodes and edges while it walks down."""

    def __init__(
        self, expanded: frozenset[str], find: FindFlow | None, resolved: Mapping[str, tuple[str, str]]
    ) -> None:
        self._resolved = resolved
        self.nodes: list[GraphNode] = []
        self.edges: list[GraphEdge] = []
        self._members: dict[str, list[str]] = {}
        self._parents: dict[str, tuple[str, ...]] = {}
        self._meetings: dict[str, str] = {}
        self._expanded = expanded
        self._find = find
        self._inside_subflow = 0
        self.foreign: set[str] = set()
        """Nodes of flows that are drawn inside this one."""

    def clusters(self) -> Iterable[GraphCluster]:
        for uid, members in self._members.items():
            yield GraphCluster(
                uid=uid, nodes=tuple(members), parents=self._parents[uid], start=members[0], end=members[1]
            )

    def flow(self, flow: Flow, uid: str, parents: tuple[str, ...], first: GraphNode | None = None) -> None:
        """Draw a flow as a cluster; of an expanded subflow the task's own node stands in front."""
        self._open(uid, parents)
        origin = self._head(uid, first)
        if flow.triggers:
            self._triggers(flow, uid, parents, origin)
        inside, relation = (*parents, uid), None if first is None else Relation.SEQUENTIAL
        self._last_branches(uid, inside, relation, flow.finally_, flow.after_execution)
        self._chain(flow.tasks, uid, inside, origin, relation)
        self._chain(flow.errors, uid, inside, origin, Relation.ERROR, following=Relation.ERROR)

    def _open(self, uid: str, parents: tuple[str, ...]) -> None:
        self._members[uid] = []
        self._parents[uid] = parents
        self._add(uid, GraphNode(uid=f"{uid}.{START}", kind="start"))
        self._add(uid, GraphNode(uid=f"{uid}.{END}", kind="end"))

    def _add(self, cluster: str, node: GraphNode) -> None:
        if len(self.nodes) >= MAX_NODES:
            raise Refused(f"The graph has more than {MAX_NODES} nodes; expand fewer subflows.")
        self.nodes.append(node)
        if self._inside_subflow:
            self.foreign.add(node.uid)
        self._members[cluster].append(node.uid)

    def _head(self, uid: str, first: GraphNode | None) -> str:
        """Add the node that stands in front of a cluster's own; return the uid from which its branches leave."""
        if first is None:
            return f"{uid}.{START}"
        self._add(uid, first)
        self._edge(f"{uid}.{START}", first.uid)
        return first.uid

    def _edge(self, source: str, target: str, relation: Relation | None = None, value: str | None = None) -> None:
        self.edges.append(GraphEdge(source=source, target=target, relation=relation, value=value))

    def _triggers(self, flow: Flow, uid: str, parents: tuple[str, ...], origin: str) -> None:
        cluster = f"{uid}.{TRIGGERS}"
        self._open(cluster, parents if uid == ROOT else (*parents, uid))
        for trigger in flow.triggers:
            node = GraphNode(uid=f"{cluster}.{trigger.id}", kind="trigger", id=trigger.id, type=trigger.type)
            self._add(cluster, node)
            self._edge(f"{cluster}.{START}", node.uid)
            self._edge(node.uid, f"{cluster}.{END}")
        self._edge(f"{cluster}.{END}", f"{uid}.{START}" if uid == ROOT else origin)

    def _chain(
        self,
        tasks: Iterable[Task],
        cluster: str,
        parents: tuple[str, ...],
        origin: str,
        relation: Relation | None,
        value: str | None = None,
        *,
        following: Relation = Relation.SEQUENTIAL,
        to: str | None = None,
    ) -> None:
        """Draw tasks one after another, from `origin` to where all ways of their cluster meet, or to another node."""
        source, following = origin, Relation.DYNAMIC if relation is Relation.DYNAMIC else following
        for task in tasks:
            start, end = self._task(task, cluster, parents)
            self._edge(source, start, relation, value)
            source, relation, value = end, following, None
        if source != origin:
            self._edge(source, to or self._meeting(cluster))

    def _last_branches(
        self,
        cluster: str,
        parents: tuple[str, ...],
        relation: Relation | None,
        last: tuple[Task, ...],
        after: tuple[Task, ...] = (),
    ) -> None:
        """Draw what runs at the end, whatever happened: all other ways of the cluster lead there."""
        to = f"{cluster}.{END}"
        for name, tasks, following in (
            (AFTER_EXECUTION, after, Relation.AFTER_EXECUTION),
            (FINALLY, last, Relation.FINALLY),
        ):
            if tasks:
                node = GraphNode(uid=f"{cluster}.{name}", kind=name[1:])
                self._add(cluster, node)
                self._chain(tasks, cluster, parents, node.uid, relation, following=following, to=to)
                to = node.uid
        self._meetings[cluster] = to

    def _meeting(self, cluster: str) -> str:
        """Return the node to which the ways of a cluster lead."""
        return self._meetings.get(cluster, f"{cluster}.{END}")

    def _task(self, task: Task, cluster: str, parents: tuple[str, ...]) -> tuple[str, str]:
        """Draw a task, with all that it holds; return where edges arrive and where they leave."""
        uid = f"{cluster}.{task.id}"
        if isinstance(task, Subflow) and uid in self._expanded:
            node = self._task_node(task, uid, Relation.SEQUENTIAL)
            self._add_subflow(self._subflow(task), uid, parents, node)
            return f"{uid}.{START}", f"{uid}.{END}"
        if not isinstance(task, FlowableTask) or not (any(task.children()) or isinstance(task, ForEachItem)):
            self._add(cluster, self._task_node(task, uid, Relation.SEQUENTIAL))
            return uid, uid
        relation = _relation_of(task)
        self._open(uid, parents)
        origin = self._head(uid, self._task_node(task, uid, relation))
        self._branches(task, uid, (*parents, uid), origin, relation)
        return f"{uid}.{START}", f"{uid}.{END}"

    def _add_subflow(self, flow: Flow, uid: str, parents: tuple[str, ...], node: GraphNode) -> None:
        self._inside_subflow += 1
        self.flow(flow, uid, parents, node)
        self._inside_subflow -= 1
        if not self._inside_subflow:
            self.foreign.discard(node.uid)

    @staticmethod
    def _task_node(task: Task, uid: str, relation: Relation) -> GraphNode:
        subflow = task.flow_id if isinstance(task, Subflow | ForEachItem) else None
        return GraphNode(uid=uid, kind="task", id=task.id, type=task.type, relation=relation, subflow=subflow)

    def _branches(
        self, task: FlowableTask, uid: str, parents: tuple[str, ...], origin: str, relation: Relation
    ) -> None:
        if isinstance(task, BranchingTask):
            # Kestra's graph of a Dag is one whose other edges are dynamic.
            last = Relation.DYNAMIC if isinstance(task, Dag) else relation
            self._last_branches(uid, parents, last, task.finally_)
        if isinstance(task, Dag):
            self._dag(task, uid, parents, origin)
        elif isinstance(task, ForEachItem):
            self._items(task, uid, origin)
        elif isinstance(task, Parallel | EachParallel):
            for child in task.tasks:
                self._chain((child,), uid, parents, origin, relation)
        else:
            main = task.main_branches() if isinstance(task, BranchingTask) else task.branches()
            for name, tasks in main:
                value = name.removeprefix("cases.") if relation is Relation.CHOICE else None
                self._chain(tasks, uid, parents, origin, relation, value)
        if isinstance(task, BranchingTask):
            self._chain(task.errors, uid, parents, origin, Relation.ERROR, following=Relation.ERROR)

    def _dag(self, task: Dag, uid: str, parents: tuple[str, ...], origin: str) -> None:
        ends = {entry.task.id: self._task(entry.task, uid, parents) for entry in task.tasks}
        needed = {name for entry in task.tasks for name in entry.depends_on}
        for entry in task.tasks:
            start, end = ends[entry.task.id]
            for name in entry.depends_on:
                if name in ends:
                    self._edge(ends[name][1], start, Relation.PARALLEL)
            if not entry.depends_on:
                self._edge(origin, start, Relation.PARALLEL)
            if entry.task.id not in needed:
                self._edge(end, self._meeting(uid))

    def _items(self, task: ForEachItem, uid: str, origin: str) -> None:
        """Draw the three steps that a ForEachItem stands for."""
        source, relation = origin, Relation.DYNAMIC
        for step in ("split", "items", "merge"):
            node = GraphNode(uid=f"{uid}.{task.id}_{step}", kind="task", id=f"{task.id}_{step}", type=task.type)
            self._add(uid, node)
            self._edge(source, node.uid, relation)
            source, relation = node.uid, Relation.SEQUENTIAL
        self._edge(source, f"{uid}.{END}")

    def _subflow(self, task: Subflow) -> Flow:
        namespace, flow_id = task.namespace, task.flow_id
        if not self._inside_subflow and task.id in self._resolved:
            namespace, flow_id = self._resolved[task.id]
        if is_expression(namespace) or is_expression(flow_id):
            raise Refused(
                f"Can't expand subflow task '{task.id}' because namespace and/or flowId contains dynamic values. "
                "This can only be viewed on an execution."
            )
        found = self._find(namespace, flow_id) if self._find is not None else None
        if found is None:
            raise Refused(f"The flow '{namespace}.{flow_id}' of the task '{task.id}' does not exist.")
        return found


def _relation_of(task: Any) -> Relation:
    if isinstance(task, If | Switch):
        return Relation.CHOICE
    if isinstance(task, Parallel | Dag):
        return Relation.PARALLEL
    if isinstance(task, ForEach | EachSequential | EachParallel | ForEachItem | Loop):
        return Relation.DYNAMIC
    return Relation.SEQUENTIAL
