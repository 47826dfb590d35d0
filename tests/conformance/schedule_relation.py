"""Cases of `schedule.yaml` about how flows depend on one another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.conformance.schedule_flow import bound_flow, expect
from tiercel.flowspec.parse import parse_flow
from tiercel.model.flow import Flow
from tiercel.topology.relation import edges, reached, relation


def identified(condition: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give a multiple condition the id that the Java tests do not give it."""
    return {"id": "multiple", **condition} if str(condition["type"]).endswith("MultipleCondition") else condition


def _flow_of(folder: Path, given: Any) -> Flow:
    if isinstance(given, str):
        return parse_flow((folder / given).read_text(), strict=False)
    triggers = [{"id": f"trigger{place}", **each} for place, each in enumerate(given.get("triggers") or ())]
    for trigger in triggers:
        trigger["conditions"] = [identified(condition) for condition in trigger.get("conditions") or ()] or None
        if trigger.get("preconditions"):
            trigger["preconditions"] = {"id": "preconditions", **trigger["preconditions"]}
    return bound_flow(given, triggers)


def run_topology(folder: Path, document: Mapping[str, Any], case: Mapping[str, Any]) -> None:
    """Compare the relation of two flows."""
    found = relation(_flow_of(folder, case["parent"]), _flow_of(folder, case["child"]))
    expect("relation", case["expect"], found.value if found is not None else None)


def run_dependencies(folder: Path, document: Mapping[str, Any], case: Mapping[str, Any]) -> None:
    """Compare the relations that lead to a flow and away from it, or those of a namespace."""
    flows = [_flow_of(folder, each) for each in case["flows"]]
    known, wanted = edges(flows), case["expect"]
    names = {flow.uid: flow.id for flow in flows}
    if "namespace_graph" in case:
        inside = {flow.uid for flow in flows if flow.namespace == case["namespace_graph"]}
        touching = [edge for edge in known if edge.source in inside or edge.target in inside]
        nodes = inside | {uid for edge in touching for uid in (edge.source, edge.target)}
        expect("nodes are there", True, set(wanted["nodes_contain"]) <= {names[uid] for uid in nodes})
        expect("number of edges", wanted["edges_count"], len(touching))
        return
    start = next(flow.uid for flow in flows if flow.id == case["dependencies_of"])
    found = [[names[edge.source], names[edge.target]] for edge in reached(start, known)]
    expect("edges", sorted(wanted["edges"]), sorted(found))
