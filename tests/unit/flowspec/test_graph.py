"""The graph of a flow: what stands in it and how it hangs together."""

from __future__ import annotations

import pytest

from tiercel.errors import Refused
from tiercel.flowspec.graph import FlowGraph, Relation, flow_graph
from tiercel.flowspec.parse import parse_flow
from tiercel.model.flow import Flow

FLOW = "io.kestra.plugin.core.flow"


def parsed(tasks: str, name: str = "a") -> Flow:
    return parse_flow(f"id: {name}\nnamespace: team\ntasks:\n{tasks}\n")


def edges(graph: FlowGraph) -> set[tuple[str, str, Relation | None]]:
    return {(edge.source, edge.target, edge.relation) for edge in graph.edges}


def pause(name: str) -> str:
    return f"{{id: {name}, type: {FLOW}.Pause}}"


def test_tasks_of_a_flow_are_a_chain_from_start_to_end() -> None:
    """The first edge has no relation: nothing decides about it."""
    graph = flow_graph(parsed(f"- {pause('x')}\n- {pause('y')}"))

    assert {
        ("root.~start", "root.x", None),
        ("root.x", "root.y", Relation.SEQUENTIAL),
        ("root.y", "root.~end", None),
    } == edges(graph)


def test_a_dag_hangs_together_by_its_dependencies() -> None:
    """Tasks that wait for none come first, tasks that none waits for lead to the end."""
    entries = f"[{{task: {pause('x')}}}, {{task: {pause('y')}, dependsOn: [x]}}]"

    graph = flow_graph(parsed(f"- {{id: d, type: {FLOW}.Dag, tasks: {entries}}}"))

    assert {
        ("root.d", "root.d.x", Relation.PARALLEL),
        ("root.d.x", "root.d.y", Relation.PARALLEL),
        ("root.d.y", "root.d.~end", None),
    } <= edges(graph)
    assert ["root.d"] == [cluster.uid for cluster in graph.clusters]


def test_all_ways_meet_before_what_runs_at_the_end() -> None:
    """Tasks and their errors lead to `finally`, and from there to `afterExecution`."""
    flow = parse_flow(
        f"id: a\nnamespace: team\ntasks: [{pause('x')}]\nerrors: [{pause('e')}, {pause('f')}]\n"
        f"finally: [{pause('y')}, {pause('z')}]\nafterExecution: [{pause('l')}]\n"
    )

    graph = flow_graph(flow)

    assert {
        ("root.~start", "root.x", None),
        ("root.~start", "root.e", Relation.ERROR),
        ("root.e", "root.f", Relation.ERROR),
        ("root.x", "root.~finally", None),
        ("root.f", "root.~finally", None),
        ("root.~finally", "root.y", None),
        ("root.y", "root.z", Relation.FINALLY),
        ("root.z", "root.~afterExecution", None),
        ("root.~afterExecution", "root.l", None),
        ("root.l", "root.~end", None),
    } == edges(graph)


def test_a_task_may_be_called_start() -> None:
    """The uid of a cluster's start is none that a task can have."""
    uids = [node.uid for node in flow_graph(parsed(f"- {pause('start')}")).nodes]

    assert len(uids) == len(set(uids))


def test_a_subflow_is_drawn_from_within_when_asked() -> None:
    """What is not known before the execution cannot be expanded."""
    inner = parsed(f"- {pause('x')}", "b")
    known = parsed(f"- {{id: s, type: {FLOW}.Subflow, namespace: team, flowId: b}}")
    dynamic = parsed(f"- {{id: s, type: {FLOW}.Subflow, namespace: team, flowId: '{{{{ inputs.x }}}}'}}")

    graph = flow_graph(known, expanded=["root.s"], find=lambda namespace, name: inner)

    assert "root.s.x" in {node.uid for node in graph.nodes}
    assert 4 < len(graph.nodes)
    with pytest.raises(Refused, match="dynamic values"):
        flow_graph(dynamic, expanded=["root.s"], find=lambda namespace, name: inner)
    with pytest.raises(Refused, match=r"'team\.b' of the task 's' does not exist"):
        flow_graph(known, expanded=["root.s"], find=lambda namespace, name: None)
