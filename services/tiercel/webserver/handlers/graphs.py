"""Drawings: the graph of a flow, of an execution with its task runs, and what flows depend on one another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from litestar import get, post
from litestar.params import FromPath

from tiercel.errors import NotFound
from tiercel.flowspec.graph import flow_graph
from tiercel.model.execution import TaskRun
from tiercel.model.flow import Flow, walk
from tiercel.model.property import is_expression
from tiercel.plugins.core.flow.subflow import Subflow
from tiercel.topology.relation import Edge, edges, reached
from tiercel.webserver import deployment, evaluation
from tiercel.webserver.context import Call
from tiercel.webserver.handlers.actions import flow_of
from tiercel.webserver.handlers.flows import source_of
from tiercel.webserver.reader import View
from tiercel.webserver.request import AnyRequest

_FLOW: Final = "/api/v1/flows/{namespace:str}/{flow_id:str}"
FLOWS_MAX: Final = 2000
"""Flows that are compared with one another."""


async def _drawn(
    call: Call, flow: Flow, runs: Sequence[TaskRun] = (), resolved: Mapping[str, tuple[str, str]] | None = None
) -> dict[str, Any]:
    """Return a flow's graph, with the subflows that are asked for drawn from within."""
    expanded = [name for text in call.query.all("subflows") for name in text.split(",") if name]
    known = await _flows(call) if expanded else []
    by_name = {(each.namespace, each.id): each for each in known}

    def find(namespace: str, flow_id: str, revision: int | None = None) -> Flow | None:
        return by_name.get((namespace, flow_id))

    states = await call.api.statestore.triggers(uids=[f"{flow.uid}/{trigger.id}" for trigger in flow.triggers])
    disabled = {state.trigger_id for state in states if state.disabled}
    drawing = flow_graph(flow, expanded=expanded, find=find, runs=runs, disabled_triggers=disabled, resolved=resolved)
    shown: dict[str, Any] = msgspec.to_builtins(drawing)
    return shown


async def _flows(call: Call, namespace: str | None = None) -> list[Flow]:
    rows, _ = await call.api.definitions.search(call.tenant_id, namespace=namespace, size=FLOWS_MAX)
    found = [await deployment.readable(call.api, row) for row in rows]
    return [flow for flow in found if flow is not None]


async def _flow(call: Call, namespace: str, flow_id: str) -> Flow:
    flow = await call.api.definitions.flow(call.tenant_id, namespace, flow_id, call.query.number("revision", least=1))
    if flow is None:
        raise NotFound(f"Unable to find flow {call.tenant_id}_{namespace}_{flow_id}")
    return flow


@get(f"{_FLOW}/graph", tags=["Flows"])
async def draw_flow(request: AnyRequest, namespace: FromPath[str], flow_id: FromPath[str]) -> dict[str, Any]:
    """Draw a flow."""
    call = Call(request)
    return await _drawn(call, await _flow(call, namespace, flow_id))


@post("/api/v1/flows/graph", status_code=200, tags=["Flows"])
async def draw_source(request: AnyRequest) -> dict[str, Any]:
    """Draw a flow that is given as text."""
    call = Call(request)
    return await _drawn(call, deployment.read_flow(call, await source_of(request)))


@get("/api/v1/executions/{execution_id:str}/graph", tags=["Executions"])
async def draw_execution(request: AnyRequest, execution_id: FromPath[str]) -> dict[str, Any]:
    """Draw the flow of an execution, at its revision, with what has become of its tasks."""
    call = Call(request)
    view = await call.api.reader.view(call.tenant_id, execution_id)
    flow = await flow_of(call, view.execution)
    resolved = await _resolved(call, flow, view) if call.query.all("subflows") else {}
    return await _drawn(call, flow, view.runs, resolved)


async def _resolved(call: Call, flow: Flow, view: View) -> dict[str, tuple[str, str]]:
    """Return which flows the execution's subflow tasks name by expressions, as far as these can be rendered."""
    found = {}
    for task in walk(flow.tasks):
        if isinstance(task, Subflow) and (is_expression(task.namespace) or is_expression(task.flow_id)):
            run = next((run for run in view.runs if run.task_id == task.id), None)
            namespace, name = [
                (await evaluation.evaluated(call.api, flow, view, run, text))["result"]
                for text in (task.namespace, task.flow_id)
            ]
            if namespace is not None and name is not None:
                found[task.id] = (namespace, name)
    return found


def _graph_json(flows: Iterable[Flow], found: Iterable[Edge]) -> dict[str, Any]:
    shown = list(found)
    return {
        "nodes": [{"uid": flow.uid, "namespace": flow.namespace, "id": flow.id} for flow in flows],
        "edges": [{"source": e.source, "target": e.target, "relation": e.relation.value} for e in shown],
    }


@get(f"{_FLOW}/dependencies", tags=["Flows"])
async def flow_dependencies(request: AnyRequest, namespace: FromPath[str], flow_id: FromPath[str]) -> dict[str, Any]:
    """Return the flows that run because of a flow, and those because of which it runs."""
    call = Call(request)
    uid = (await _flow(call, namespace, flow_id)).uid
    flows = await _flows(call)
    known = await asyncio.to_thread(edges, flows)
    if call.query.flag("expandAll"):
        known = reached(uid, known)
    else:
        known = [edge for edge in known if uid in (edge.source, edge.target)]
    if call.query.flag("destinationOnly"):
        known = [edge for edge in known if edge.target == uid]
    named = {uid, *(name for edge in known for name in (edge.source, edge.target))}
    return _graph_json([flow for flow in flows if flow.uid in named], known)


@get("/api/v1/namespaces/{namespace:str}/dependencies", tags=["Namespaces"])
async def namespace_dependencies(request: AnyRequest, namespace: FromPath[str]) -> dict[str, Any]:
    """Return how the flows of a namespace depend on one another and on others."""
    call = Call(request)
    flows = await _flows(call)
    known = await asyncio.to_thread(edges, flows)
    own = {flow.uid for flow in flows if flow.namespace == namespace}
    known = [edge for edge in known if edge.source in own or edge.target in own]
    named = {*own, *(name for edge in known for name in (edge.source, edge.target))}
    return _graph_json([flow for flow in flows if flow.uid in named], known)


HANDLERS: Final[list[Any]] = [
    draw_flow,
    draw_source,
    draw_execution,
    flow_dependencies,
    namespace_dependencies,
]
