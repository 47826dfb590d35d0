"""The template language: what there is in it, and how a text of it looks to people."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from litestar import get, post

from tiercel.errors import NotFound, Refused
from tiercel.expression.context import CONTEXT_PATHS, Facts, build
from tiercel.expression.display import display_engine, shown
from tiercel.expression.rendering import Engine
from tiercel.flowspec.identity import placed_leaves
from tiercel.model.flow import Dialect, Flow, walk
from tiercel.runtime.expressions import KnownHost
from tiercel.webserver import deployment, evaluation
from tiercel.webserver.context import Call
from tiercel.webserver.handlers.actions import flow_of
from tiercel.webserver.handlers.flows import source_of
from tiercel.webserver.request import AnyRequest

EXPRESSIONS_MAX: Final = 500
"""Expressions of one request."""


@lru_cache(maxsize=len(Dialect))
def _engine(dialect: Dialect) -> Engine:
    return display_engine("2.x" if dialect is Dialect.V2 else "1.x")


@get("/api/v1/pebble/functions", tags=["Misc"])
async def functions() -> list[dict[str, Any]]:
    """List the functions of the template language with the names of their arguments, for editors."""
    return _functions()


def _functions() -> list[dict[str, Any]]:
    found = Engine(dialect="2.x").functions
    return [{"name": name, "arguments": list(found[name].parameters or ())} for name in sorted(found)]


@get("/api/v1/pebble/filters", tags=["Misc"])
async def filters() -> list[str]:
    """List the filters of the template language."""
    return _filters()


def _filters() -> list[str]:
    return sorted(Engine(dialect="2.x").filters)


@post("/api/v1/flows/expressions", status_code=200, tags=["Flows"])
async def flow_expressions(request: AnyRequest) -> dict[str, Any]:
    """
    List what expressions in a flow's text can name, for editors: variables, functions and filters.

    With `taskId` only outputs of tasks that stand before this one are among them.
    """
    call = Call(request)
    flow = deployment.read_flow(call, await source_of(request))
    named = [task.id for task in walk(flow.tasks)]
    task_id = call.query.one("taskId")
    if task_id is not None:
        if task_id not in named:
            raise NotFound(f"Task '{task_id}' does not exist in the flow.")
        named = named[: named.index(task_id)]
    paths = {
        *CONTEXT_PATHS,
        *(f"inputs.{leaf.id}" for leaf, _ in placed_leaves(flow.inputs, ())),
        *(f"vars.{name}" for name in flow.variables),
        *(f"labels.{name}" for name in flow.labels),
        *(f"outputs.{name}" for name in named),
    }
    return {"paths": sorted(paths), "functions": _functions(), "filters": _filters()}


@post("/api/v1/expressions/render", status_code=200, tags=["Expressions"])
async def render_expressions(request: AnyRequest) -> dict[str, Any]:
    """
    Render texts for people to look at, on an execution or one of its task runs, on a flow or on a flow's text.

    With one `expression` and `variables` it is rendered as a flow would see it, secrets masked.
    """
    call, body = Call(request), await request.json()
    if not isinstance(body, Mapping):
        raise Refused('The body must be {"expressions": […]}, with "executionId", "flow", or "namespace" and "flowId".')
    if "expression" in body:
        return await _one(call, body)
    texts = body.get("expressions")
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise Refused("'expressions' must be a list of texts, with at least one of them.")
    if len(texts) > EXPRESSIONS_MAX:
        raise Refused(f"'expressions' has {len(texts)} texts; at most {EXPRESSIONS_MAX} are rendered at once.")
    dialect, variables = await _variables(call, body)
    host = KnownHost({}, call.api.clock.now())
    return {"rendered": {text: shown(_engine(dialect), host, text, variables) for text in texts}}


async def _variables(call: Call, body: Mapping[str, Any]) -> tuple[Dialect, dict[str, Any]]:
    if body.get("executionId") is not None:
        view = await call.api.reader.view(call.tenant_id, str(body["executionId"]))
        flow = await flow_of(call, view.execution)
        run_id = body.get("taskRunId")
        run = view.run(str(run_id)) if run_id is not None else None
        if run_id is not None and run is None:
            raise NotFound(f"Task run '{run_id}' not found in execution '{view.execution.id}'.")
        facts = await evaluation.facts(call.api, flow, view, run, flow.dialect)
        return flow.dialect, build(facts)
    if body.get("flow") is not None:
        return _of_flow(call, deployment.read_flow(call, str(body["flow"])))
    if body.get("namespace") is not None and body.get("flowId") is not None:
        named = await call.api.definitions.flow(call.tenant_id, str(body["namespace"]), str(body["flowId"]))
        if named is None:
            raise NotFound(f"Unable to find flow '{body['namespace']}.{body['flowId']}'")
        return _of_flow(call, named)
    return Dialect.V2, build(Facts(dialect=Dialect.V2.value, globals=call.api.settings.variables_globals))


def _of_flow(call: Call, flow: Flow) -> tuple[Dialect, dict[str, Any]]:
    own = call.api.settings
    named = {"id": flow.id, "namespace": flow.namespace, "revision": flow.revision, "tenantId": flow.tenant_id}
    facts = Facts(
        dialect=flow.dialect.value,
        globals=own.variables_globals,
        kestra=own.kestra,
        flow=named,
        labels=tuple(flow.labels.items()),
        variables=flow.variables,
    )
    return flow.dialect, build(facts)


async def _one(call: Call, body: Mapping[str, Any]) -> dict[str, Any]:
    text, variables = body["expression"], body.get("variables") or {}
    if not isinstance(text, str) or not isinstance(variables, Mapping):
        raise Refused('The body must be {"expression": …, "variables": {…}}.')
    result = await call.api.expressions.rendered(
        call.tenant_id, Dialect.V2, lambda renderer: renderer.render(text, variables), mask_secrets=True
    )
    return {"expression": text, "rendered": result}


HANDLERS: Final[list[Any]] = [functions, filters, flow_expressions, render_expressions]
