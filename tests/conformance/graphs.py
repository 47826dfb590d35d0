"""
The cases of `graphs.yaml`: nodes, edges and clusters of a flow's graph.

`from` and `to` of an edge are regular expressions over whole uids, or "start of X" and "end of X" of a cluster.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import tests.conformance.test_plugins  # noqa: F401  (registers the types that the flows use)
from tests.conformance.corpus import Case, Folder
from tests.conformance.result import CaseResult, LeftOut, judged
from tests.conformance.validation import need
from tiercel.errors import Refused
from tiercel.flowspec.graph import FlowGraph, GraphEdge, flow_graph
from tiercel.flowspec.parse import parse_flow
from tiercel.model.execution import TaskRun
from tiercel.model.flow import Flow, walk
from tiercel.model.state import State

FILE = "graphs.yaml"


def run_graphs_cases(folder: Path) -> list[CaseResult]:
    """Try every case of the folder's file on graphs."""
    corpus = Folder(folder)
    return [judged(case, partial(_run, corpus, case)) for case in corpus.cases(FILE)]


def _run(corpus: Folder, case: Case) -> None:
    body, expect = case.body, case.body["expect"]
    if "_value" in str(expect):
        raise LeftOut(
            "a task is one node, which tells how many of its runs are in which state; it is not drawn per value"
        )
    others = [parse_flow(corpus.text(path)) for path in body.get("other_flows", [])]
    by_name = {(flow.namespace, flow.id): flow for flow in others}
    flow = parse_flow(corpus.text(body["flow"]))
    try:
        graph = flow_graph(
            flow,
            expanded=body.get("expanded", ()),
            find=lambda namespace, name: by_name.get((namespace, name)),
            runs=_runs(flow) if body.get("with_execution") else (),
            disabled_triggers=[name for name, state in body.get("trigger_state", {}).items() if state.get("disabled")],
        )
    except Refused as error:
        need("error" in expect and str(error) == expect["error"].get("equals", str(error)), str(error))
        return
    need("error" not in expect, "drawn, but should be refused")
    compare_graph(graph, expect)


def compare_graph(graph: FlowGraph, expect: Mapping[str, Any]) -> None:
    """Compare a graph with what a case expects of it."""
    for name in ("nodes", "edges", "clusters"):
        if name in expect:
            need(len(getattr(graph, name)) == expect[name], f"{len(getattr(graph, name))} {name}, not {expect[name]}")
    for wanted in expect.get("edge", ()):
        _check_edge(graph, wanted)
    for wanted in expect.get("node", ()):
        _check_node(graph, wanted)


def _runs(flow: Flow) -> list[TaskRun]:
    """Return a task run for each task, as an execution of the flow has when it has ended well."""
    tasks = walk(flow.tasks)
    return [
        TaskRun(id=f"run-of-{task.id}", seq=seq, task_id=task.id, state=State.SUCCESS, history=())
        for seq, task in enumerate(tasks)
    ]


def _pattern(text: str, graph: FlowGraph) -> str:
    if graph.clusters:
        text = text.replace("first cluster", re.escape(graph.clusters[0].uid))
    for side in ("start", "end"):
        if text.startswith(f"{side} of "):
            return f"{text.removeprefix(f'{side} of ')}\\.~{side}"
    return text


def _check_edge(graph: FlowGraph, wanted: Mapping[str, Any]) -> None:
    def fits(edge: GraphEdge) -> bool:
        return all(
            re.fullmatch(_pattern(wanted[name], graph), getattr(edge, side))
            for name, side in (("from", "source"), ("to", "target"))
            if name in wanted
        )

    found = [edge for edge in graph.edges if fits(edge)]
    need(bool(found), f"there is no edge {dict(wanted)}")
    if not {"from", "to"} <= set(wanted):
        found = [
            edge
            for edge in found
            if re.fullmatch(_pattern(wanted.get("expect_to", ".*"), graph), edge.target)
            and re.fullmatch(_pattern(wanted.get("expect_from", ".*"), graph), edge.source)
        ]
        need(bool(found), f"no edge leads as {dict(wanted)}")
    if "expect_from" in wanted:
        need(re.fullmatch(wanted["expect_from"], found[0].source) is not None, f"{found[0]} comes from elsewhere")
    for name in ("relation", "value"):
        if name in wanted:
            values = [getattr(edge, name) for edge in found]
            need(wanted[name] in values, f"{name} of {dict(wanted)} is {values}")


def _check_node(graph: FlowGraph, wanted: Mapping[str, Any]) -> None:
    if "trigger_disabled" in wanted:
        wanted_off = wanted["trigger_disabled"]
        need(any(n.kind == "trigger" and n.disabled is wanted_off for n in graph.nodes), "there is no such trigger")
        return
    if "has_task_run" in wanted:
        node = next(node for node in graph.nodes if node.id == wanted["task"])
        need((node.task_runs is not None) is wanted["has_task_run"], f"the node is {node}")
        return
    if "at" in wanted:
        node = graph.nodes[wanted["at"]]
    else:
        nodes = [node for node in graph.nodes if node.uid == wanted["uid"]]
        need(bool(nodes), f"there is no node {wanted['uid']}")
        node = nodes[0]
    if "task" in wanted:
        need(node.id == wanted["task"], f"the node is {node}")
    if "relation" in wanted:
        need(node.relation == wanted["relation"], f"the node is {node}")
    if "subflow" in wanted:
        need(node.subflow == wanted["subflow"], f"the node is {node}")
    if "type" in wanted:
        need(node.type is not None and node.type.endswith(f".{wanted['type']}"), f"the node is {node}")
