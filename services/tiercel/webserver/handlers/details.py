"""What belongs to one execution: its flow, outputs, expressions, metrics; and lists of flows that were executed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from litestar import Response, get, post
from litestar.params import FromPath

from tiercel.errors import NotFound, Refused
from tiercel.flowspec.document import label_list
from tiercel.model.execution_json import execution_json
from tiercel.model.flow import Flow, Task
from tiercel.repository.base import Page
from tiercel.webserver import deployment, evaluation, query
from tiercel.webserver.context import Call
from tiercel.webserver.handlers.actions import flow_of
from tiercel.webserver.inputs import input_json
from tiercel.webserver.problem import BadFilter
from tiercel.webserver.request import AnyRequest, json_of

_ID: Final = "/api/v1/executions/{execution_id:str}"


def flow_for_execution(flow: Flow) -> dict[str, Any]:
    """Return what a person who executes a flow may see of it: inputs, labels, and the names of its tasks."""
    data: dict[str, Any] = {
        "id": flow.id,
        "namespace": flow.namespace,
        "revision": flow.revision,
        "disabled": flow.disabled,
        "deleted": flow.deleted,
        "labels": label_list(flow.labels),
        "inputs": [input_json(each) for each in flow.inputs],
        "variables": flow.variables,
        "tasks": [_task(task) for task in flow.tasks],
        "triggers": [{"id": trigger.id, "type": trigger.type} for trigger in flow.triggers],
    }
    for name, tasks in (("errors", flow.errors), ("finally", flow.finally_), ("afterExecution", flow.after_execution)):
        if tasks:
            data[name] = [_task(task) for task in tasks]
    return data


def _task(task: Task) -> dict[str, Any]:
    data: dict[str, Any] = {"id": task.id, "type": task.type}
    inner = [_task(child) for child in task.children()]
    return {**data, "tasks": inner} if inner else data


@get("/api/v1/executions/flows/{namespace:str}/{flow_id:str}", tags=["Executions"])
async def executable_flow(request: AnyRequest, namespace: FromPath[str], flow_id: FromPath[str]) -> dict[str, Any]:
    """Return what one may see of a flow that one may execute."""
    call = Call(request)
    revision = call.query.number("revision", least=1)
    flow = await call.api.definitions.flow(call.tenant_id, namespace, flow_id, revision)
    if flow is None:
        raise NotFound(f"Flow '{namespace}.{flow_id}' does not exist.")
    return flow_for_execution(flow)


@get(f"{_ID}/flow", tags=["Executions"])
async def flow_of_execution(request: AnyRequest, execution_id: FromPath[str]) -> dict[str, Any]:
    """Return the flow of an execution, at its revision."""
    call = Call(request)
    return flow_for_execution(await flow_of(call, await call.api.reader.head(call.tenant_id, execution_id)))


@get("/api/v1/executions/namespaces", tags=["Executions"])
async def executable_namespaces(request: AnyRequest) -> list[str]:
    """Return the namespaces that have flows."""
    call = Call(request)
    return await call.api.definitions.namespaces(call.tenant_id)


@get("/api/v1/executions/namespaces/{namespace:str}/flows", tags=["Executions"])
async def executable_flows(request: AnyRequest, namespace: FromPath[str]) -> list[dict[str, Any]]:
    """Return what one may see of the flows of a namespace."""
    call = Call(request)
    rows, _ = await call.api.definitions.search(call.tenant_id, namespace=namespace, size=query.SIZE_MAX)
    flows = [await deployment.readable(call.api, row) for row in rows if row.namespace == namespace]
    return [flow_for_execution(flow) for flow in flows if flow is not None]


@post("/api/v1/executions/latest", status_code=200, tags=["Executions"])
async def latest_executions(request: AnyRequest) -> list[dict[str, Any]]:
    """Return the last execution of each flow that the body names."""
    call = Call(request)
    body = await json_of(request)
    if not isinstance(body, list) or not all(isinstance(each, Mapping) for each in body):
        raise Refused('The body must be a list of {"namespace": …, "id": …}.')
    flows = [(str(each.get("namespace")), str(each.get("id") or each.get("flowId"))) for each in body]
    found = await call.api.repository.latest(call.tenant_id, flows[: query.SIZE_MAX])
    now = call.api.clock.now()
    return [
        {"id": e.id, "namespace": e.namespace, "flowId": e.flow_id, "startDate": e.history[0].date}
        | {"status": e.state.value, "state": execution_json(e, now=now)["state"]}
        for e in (each.execution for each in found)
    ]


@get("/api/v1/outputs/{execution_id:str}", tags=["Outputs"])
async def execution_outputs(request: AnyRequest, execution_id: FromPath[str]) -> list[dict[str, Any]]:
    """List the task runs of an execution that have outputs."""
    call = Call(request)
    view = await call.api.reader.view(call.tenant_id, execution_id)
    listed = []
    for run in view.runs:
        ref = view.outputs.get(run.seq)
        if ref is not None:
            data = {"taskId": run.task_id, "taskRunId": run.id, "value": run.value, "iteration": run.iteration}
            listed.append({**data, "inline": ref.uri is None, "size": ref.size})
    return listed


@get("/api/v1/outputs/{execution_id:str}/{task_run_id:str}", tags=["Outputs"])
async def task_run_outputs(
    request: AnyRequest, execution_id: FromPath[str], task_run_id: FromPath[str]
) -> dict[str, Any]:
    """Return the outputs of a task run, loaded if they are in internal storage."""
    call = Call(request)
    view = await call.api.reader.view(call.tenant_id, execution_id)
    run = view.run(task_run_id)
    if run is None:
        raise NotFound(f"Task run '{task_run_id}' not found in execution '{execution_id}'.")
    ref = view.outputs.get(run.seq)
    return {} if ref is None else await evaluation.output_value(call.api, call.tenant_id, ref)


@post([f"{_ID}/eval", f"{_ID}/actions/eval"], status_code=200, tags=["Executions"])
async def eval_execution(request: AnyRequest, execution_id: FromPath[str]) -> Response[Any]:
    """Evaluate an expression as it would be for an execution."""
    return await _evaluated(request, execution_id, None)


@post(
    [f"{_ID}/eval/{{task_run_id:str}}", f"{_ID}/actions/eval/{{task_run_id:str}}"], status_code=200, tags=["Executions"]
)
async def eval_task_run(request: AnyRequest, execution_id: FromPath[str], task_run_id: FromPath[str]) -> Response[Any]:
    """Evaluate an expression as it would be for a task run."""
    return await _evaluated(request, execution_id, task_run_id)


async def _evaluated(request: AnyRequest, execution_id: str, task_run_id: str | None) -> Response[Any]:
    call = Call(request)
    expression = (await request.body()).decode("utf-8", "replace")
    view = await call.api.reader.view(call.tenant_id, execution_id)
    run = view.run(task_run_id) if task_run_id is not None else None
    if task_run_id is not None and run is None:
        raise NotFound(f"Task run '{task_run_id}' not found in execution '{execution_id}'.")
    try:
        flow: Flow | None = await flow_of(call, view.execution)
    except NotFound:
        flow = None
    return Response(await evaluation.evaluated(call.api, flow, view, run, expression))


@get("/api/v1/executions/distinct-field-values", tags=["Executions"])
async def distinct_values(request: AnyRequest) -> list[str]:
    """Return the values of a field among the newest executions that the filters find."""
    call = Call(request)
    name, size = call.query.required("field"), call.query.number("size", 100, least=1) or 100
    names = {"namespace": "namespace", "flowId": "flow_id", "state": "state", "kind": "kind"}
    getters = {**names, **{attribute.upper(): attribute for attribute in names.values()}}
    if name not in getters:
        raise BadFilter(f"'{name}' is not a field of executions; use one of {', '.join(getters)}.")
    wanted = call.query.filters("EXECUTION", query.EXECUTION_FIELDS, call.api.clock.now())
    page = Page(size=query.SIZE_MAX, total=False)
    found = await call.api.repository.search(call.tenant_id, wanted, page)
    return sorted({str(getattr(each, getters[name])) for each in found.results})[:size]


HANDLERS: Final[list[Any]] = [
    executable_flow,
    flow_of_execution,
    executable_namespaces,
    executable_flows,
    latest_executions,
    execution_outputs,
    task_run_outputs,
    eval_execution,
    eval_task_run,
    distinct_values,
]
