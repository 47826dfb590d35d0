"""Lists for people who look after an installation: flows by what is written in them, spreadsheets, secrets."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from litestar import Response, get

from tiercel.definitions.base import FlowRow
from tiercel.flowspec.parse import check_flow
from tiercel.model.execution import Execution
from tiercel.model.execution_json import execution_json
from tiercel.repository.base import Page
from tiercel.webserver import deployment, query
from tiercel.webserver.context import Call
from tiercel.webserver.flowsearch import FLOWS_MAX, search
from tiercel.webserver.handlers.flows import row_json
from tiercel.webserver.handlers.triggers import found_states, trigger_json
from tiercel.webserver.request import AnyRequest

TURN_FLOWS: Final = 10
"""Flows that are checked in one go: each takes a millisecond or so."""
FRAGMENTS_MAX: Final = 3
"""Lines of a flow that are shown for one search."""
EXECUTIONS_MAX: Final = 10_000
"""Rows of one spreadsheet of executions."""
_EXECUTION_COLUMNS: Final = (
    "id",
    "namespace",
    "flowId",
    "flowRevision",
    "state",
    "startDate",
    "endDate",
    "duration",
    "labels",
)
_FLOW_COLUMNS: Final = ("id", "namespace", "revision", "disabled", "description", "labels", "updated")
_TRIGGER_COLUMNS: Final = (
    "namespace",
    "flowId",
    "triggerId",
    "disabled",
    "locked",
    "nextExecutionDate",
    "date",
    "executionId",
)


@get("/api/v1/flows/deprecated", tags=["Flows"])
async def deprecated_flows(request: AnyRequest) -> list[dict[str, Any]]:
    """List the flows that use older names or what is deprecated, with the places where they do."""
    call = Call(request)
    rows, _ = await call.api.definitions.search(
        call.tenant_id, namespace=call.query.one("namespace") or None, size=FLOWS_MAX
    )
    found = []
    for number, row in enumerate(rows):
        if number % TURN_FLOWS == 0:
            await asyncio.sleep(0)  # other requests have their turn
        report = check_flow(row.source, deployment.outside(call))
        if report.deprecations or report.relocations:
            named = {"namespace": row.namespace, "id": row.id, "revision": row.revision}
            replaced = [{"from": old, "to": new} for old, new in report.relocations]
            found.append({**named, "deprecationPaths": list(report.deprecations), "relocations": replaced})
    return found


@get("/api/v1/flows/source", tags=["Flows"])
async def search_sources(request: AnyRequest) -> dict[str, Any]:
    """Search the texts of flows; the lines that hold what is sought are shown with it marked."""
    call = Call(request)
    text, page = (call.query.one("q") or "").strip(), call.query.page()
    rows, _ = await call.api.definitions.search(
        call.tenant_id,
        namespace=call.query.one("namespace") or None,
        sort=(("namespace", True), ("id", True)),
        size=FLOWS_MAX,
    )
    found = [row for row in rows if text.lower() in row.source.lower()]
    part = found[(page.number - 1) * page.size : page.number * page.size]
    results = [{"model": row_json(row), "fragments": list(_fragments(row, text))} for row in part]
    return {"results": results, "total": len(found)}


def _fragments(row: FlowRow, text: str) -> Iterable[str]:
    lines = [line for line in row.source.splitlines() if text.lower() in line.lower()] if text else []
    for line in lines[:FRAGMENTS_MAX]:
        at = line.lower().index(text.lower())
        yield f"{line[:at]}[mark]{line[at : at + len(text)]}[/mark]{line[at + len(text) :]}"


def spreadsheet(name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Response[str]:
    """Return comma-separated values as a file; nothing in a cell is read as a formula by the program that opens it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    headers = {"content-disposition": f"attachment; filename={name}.csv"}
    return Response(text.getvalue(), media_type="text/csv", headers=headers)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


@get("/api/v1/flows/export/by-query/csv", tags=["Flows"])
async def export_flows(request: AnyRequest) -> Response[str]:
    """Return the flows that a query finds as comma-separated values."""
    rows, _ = await search(Call(request), FLOWS_MAX)
    return spreadsheet("flows", _FLOW_COLUMNS, (_flow_cells(row) for row in rows))


def _flow_cells(row: FlowRow) -> Sequence[Any]:
    labels = ";".join(f"{key}:{value}" for key, value in row.labels.items())
    return row.id, row.namespace, row.revision, row.disabled, row.description, labels, row.updated_at


@get("/api/v1/triggers/export/by-query/csv", tags=["Triggers"])
async def export_triggers(request: AnyRequest) -> Response[str]:
    """Return the triggers that a query finds as comma-separated values."""
    shown = [trigger_json(state) for state in await found_states(Call(request))]
    return spreadsheet("triggers", _TRIGGER_COLUMNS, ([each.get(name) for name in _TRIGGER_COLUMNS] for each in shown))


@get("/api/v1/executions/export/by-query/csv", tags=["Executions"])
async def export_executions(request: AnyRequest) -> Response[str]:
    """Return the executions that the filters find as comma-separated values."""
    call = Call(request)
    wanted = call.query.filters("EXECUTION", query.EXECUTION_FIELDS, call.api.clock.now())
    found = await call.api.repository.search(call.tenant_id, wanted, Page(size=EXECUTIONS_MAX, total=False))
    rows = map(partial(_execution_cells, call.api.clock.now()), found.results)
    return spreadsheet("executions", _EXECUTION_COLUMNS, rows)


def _execution_cells(now: datetime, execution: Execution) -> Sequence[Any]:
    state = execution_json(execution, now=now)["state"]
    labels = ";".join(f"{key}:{value}" for key, value in execution.labels)
    named = (execution.id, execution.namespace, execution.flow_id, execution.flow_revision)
    return (*named, *(state.get(name) for name in ("current", "startDate", "endDate", "duration")), labels)


@get("/api/v1/secrets", tags=["Secrets"])
async def list_secrets(request: AnyRequest) -> dict[str, Any]:
    """List the names of secrets by namespace; with flows and secrets of the environment, each namespace has all."""
    call = Call(request)
    page = call.query.page()
    found = [
        {"namespace": namespace, "key": name}
        for namespace in await call.api.definitions.namespaces(call.tenant_id)
        for name in call.api.secrets.names(call.tenant_id, namespace)
    ]
    part = found[(page.number - 1) * page.size : page.number * page.size]
    return {"readOnly": True, "results": part, "total": len(found)}


HANDLERS: Final[list[Any]] = [
    deprecated_flows,
    search_sources,
    export_flows,
    export_triggers,
    export_executions,
    list_secrets,
]
