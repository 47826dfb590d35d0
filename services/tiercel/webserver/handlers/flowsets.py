"""Many flows at once: validate, save, delete, enable and disable, export and import; and checks of fragments."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from litestar import Response, delete, get, post
from litestar.params import FromPath

from tiercel.definitions.base import FlowRow
from tiercel.errors import InvalidFlow, NotFound, Problem, Refused
from tiercel.flowspec.blocktext import in_lines
from tiercel.flowspec.fragment import check_task_document, check_trigger_document
from tiercel.flowspec.parse import Report, check_flows
from tiercel.flowspec.yaml import Document, read_documents
from tiercel.model.flow import Flow
from tiercel.webserver import archive as archives
from tiercel.webserver import deployment, multipart
from tiercel.webserver.calledflows import missing_subflows
from tiercel.webserver.context import Call
from tiercel.webserver.flowsearch import search
from tiercel.webserver.handlers.actions import read_form
from tiercel.webserver.handlers.flows import flow_json, source_of
from tiercel.webserver.problem import TooLarge
from tiercel.webserver.request import AnyRequest, json_of

_BASE: Final = "/api/v1/flows"
_DISABLED: Final = re.compile(r"(?m)^disabled:.*$")


@post(f"{_BASE}/validate", status_code=200, tags=["Flows"])
async def validate_flows(request: AnyRequest) -> list[dict[str, Any]]:
    """Say everything about each flow of a text of several documents, or of several files."""
    call = Call(request)
    if not request.headers.get("content-type", "").startswith("multipart/"):
        return await _validated(call, await source_of(request), None)
    with multipart.form() as form:
        await read_form(request, form, call.api.settings.text_part_max)
        found: list[dict[str, Any]] = []
        for upload in form.uploads:
            source = _content(upload, call.api.settings.body_max).decode("utf-8", "replace")
            found += await _validated(call, source, upload.file_name, len(found))
        return found


async def _validated(call: Call, source: str, file_name: str | None, first: int = 0) -> list[dict[str, Any]]:
    reports = check_flows(source, deployment.outside(call))
    documents = _documents(source)
    together = {(report.flow.namespace, report.flow.id) for report in reports if report.flow is not None}
    answers = []
    for index, report in enumerate(reports):
        document = documents[index] if index < len(documents) else Document(None, "")
        if report.flow is not None:
            missing = await missing_subflows(call.api.definitions, report.flow, document, together)
            report = msgspec.structs.replace(report, cautions=(*missing, *report.cautions))
        name = document.data if isinstance(document.data, dict) else {}
        answer = {"index": first + index, "filename": file_name, **_report(report, name)}
        answer["outdated"] = await _is_outdated(call, report)
        answers.append({key: value for key, value in answer.items() if value is not None})
    return answers


def _documents(source: str) -> list[Document]:
    try:
        return read_documents(source)
    except InvalidFlow:
        return []


def _report(report: Report, name: Mapping[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = {"flow": name.get("id"), "namespace": name.get("namespace")}
    if report.flow is None:
        places = [_place(problem) for problem in report.problems]
        return {**data, "constraints": _sentences(report.problems), "problems": places}
    return {
        **data,
        "deprecationPaths": list(report.deprecations),
        "warnings": list(report.warnings),
        "warningPlaces": [_place(caution) for caution in report.cautions],
        "infos": list(report.infos),
    }


def _place(problem: Problem) -> dict[str, Any]:
    place = {"path": problem.path, "message": problem.message, "line": problem.line, "column": problem.column}
    return {key: value for key, value in place.items() if value is not None}


async def _is_outdated(call: Call, report: Report) -> bool:
    """Tell whether the flow exists and the text does not say that it is a newer revision."""
    if report.flow is None:
        return False
    row = await call.api.definitions.row(call.tenant_id, report.flow.namespace, report.flow.id)
    return row is not None and row.revision >= (report.flow.revision or 1)


@post(f"{_BASE}/validate/task", status_code=200, tags=["Flows"])
async def validate_task(request: AnyRequest) -> dict[str, Any]:
    """Say what is wrong with a task (or, with `section=TRIGGERS`, a trigger)."""
    is_trigger = (Call(request).query.one("section") or "TASKS").upper() == "TRIGGERS"
    data = _fragment(await source_of(request))
    return _fragment_answer(check_trigger_document(data) if is_trigger else check_task_document(data))


@post(f"{_BASE}/validate/trigger", status_code=200, tags=["Flows"])
async def validate_trigger(request: AnyRequest) -> dict[str, Any]:
    """Say what is wrong with a trigger."""
    return _fragment_answer(check_trigger_document(_fragment(await source_of(request))))


def _fragment(source: str) -> Any:
    documents = read_documents(source)
    if len(documents) != 1:
        raise Refused("The body must hold exactly one task or trigger.")
    return documents[0].data


def _fragment_answer(problems: list[Problem]) -> dict[str, Any]:
    if not problems:
        return {"index": 0}
    return {"index": 0, "constraints": _sentences(problems)}


def _sentences(problems: Iterable[Problem]) -> str:
    return "\n".join(f"{each.path}: {each.message}" if each.path else each.message for each in problems)


@post(f"{_BASE}/bulk", status_code=200, tags=["Flows"])
async def save_bulk(request: AnyRequest) -> list[dict[str, Any]]:
    """Save all flows of a text; with `delete`, delete the others of the namespace."""
    call = Call(request)
    flows = deployment.read_flows(call, await source_of(request))
    namespace = call.query.one("namespace")
    if call.query.flag("delete") and not namespace:
        raise Refused("To delete other flows, name their namespace with '?namespace=…'.")
    children = call.query.flag("allowNamespaceChild")
    if namespace:
        _require_namespace(flows, namespace, children)
    return await _saved(call, flows, namespace if call.query.flag("delete") else None)


@post(f"{_BASE}/{{namespace:str}}", status_code=200, tags=["Flows"])
async def save_namespace(request: AnyRequest, namespace: FromPath[str]) -> list[dict[str, Any]]:
    """Save all flows of a namespace; those that the text does not hold are deleted unless `delete` is false."""
    call = Call(request)
    source = await source_of(request)
    flows = deployment.read_flows(call, source)
    if call.query.flag("override"):
        flows = [_moved(call, flow, namespace) for flow in flows]
    _require_namespace(flows, namespace, False)
    return await _saved(call, flows, namespace if call.query.flag("delete", default=True) else None)


def _moved(call: Call, flow: Flow, namespace: str) -> Flow:
    source = re.sub(r"(?m)^namespace:.*$", f"namespace: {namespace}", flow.source, count=1)
    return deployment.read_new_flow(call, source)


def _require_namespace(flows: Iterable[Flow], namespace: str, children: bool) -> None:
    for flow in flows:
        if flow.namespace != namespace and not (children and flow.namespace.startswith(f"{namespace}.")):
            message = f"Flow namespace is invalid: '{flow.id}' is of namespace '{flow.namespace}', not '{namespace}'."
            raise InvalidFlow([Problem("flow.namespace", message)])


async def _saved(call: Call, flows: list[Flow], emptied: str | None) -> list[dict[str, Any]]:
    seen: set[str] = set()
    for flow in flows:
        if flow.uid in seen:
            raise InvalidFlow([Problem("flow.id", f"Duplicate flow id: '{flow.id}' stands twice in the text.")])
        seen.add(flow.uid)
    saved = [await deployment.save(call.api, flow) for flow in flows]
    if emptied is not None:
        rows, _ = await call.api.definitions.search(call.tenant_id, namespace=emptied, size=call.api.settings.bulk_max)
        kept = {(flow.namespace, flow.id) for flow in saved}
        for row in rows:
            if row.namespace == emptied and (row.namespace, row.id) not in kept:
                await deployment.delete(call.api, call.tenant_id, row.namespace, row.id)
    return [flow_json(flow) for flow in saved]


async def _named(call: Call) -> list[FlowRow]:
    """Return the flows that the body names; raise NotFound when one does not exist."""
    body = await json_of(call.request)
    if not isinstance(body, list) or not all(map(_is_named, body)):
        raise Refused('The body must be a list of {"namespace": …, "id": …}.')
    rows = []
    for each in body:
        row = await call.api.definitions.row(call.tenant_id, each["namespace"], each["id"])
        if row is None:
            raise NotFound(f"Flow '{each['namespace']}.{each['id']}' does not exist.")
        rows.append(row)
    return rows


def _is_named(flow: Any) -> bool:
    return isinstance(flow, Mapping) and all(isinstance(flow.get(name), str) for name in ("namespace", "id"))


async def _found(call: Call) -> list[FlowRow]:
    rows, _ = await search(call, call.api.settings.bulk_max)
    return rows


async def _deleted(call: Call, rows: list[FlowRow]) -> dict[str, int]:
    for row in rows:
        await deployment.delete(call.api, call.tenant_id, row.namespace, row.id)
    return {"count": len(rows)}


@delete(f"{_BASE}/delete/by-ids", status_code=200, tags=["Flows"])
async def delete_by_ids(request: AnyRequest) -> dict[str, int]:
    """Delete flows."""
    call = Call(request)
    return await _deleted(call, await _named(call))


@delete(f"{_BASE}/delete/by-query", status_code=200, tags=["Flows"])
async def delete_by_query(request: AnyRequest) -> dict[str, int]:
    """Delete the flows that a query finds."""
    call = Call(request)
    return await _deleted(call, await _found(call))


async def _switched(call: Call, rows: list[FlowRow], disabled: bool) -> dict[str, int]:
    """Save flows with their text changed to be disabled, or enabled."""
    count = 0
    for row in rows:
        if row.disabled is disabled:
            continue
        line = f"disabled: {'true' if disabled else 'false'}"
        text = in_lines(row.source)
        source = _DISABLED.sub(line, text) if _DISABLED.search(text) else f"{text.rstrip()}\n{line}\n"
        flow = deployment.read_flow(call, source)
        await deployment.update(call.api, row.namespace, row.id, flow)
        count += 1
    return {"count": count}


@post([f"{_BASE}/disable/by-ids", f"{_BASE}/enable/by-ids"], status_code=200, tags=["Flows"])
async def switch_by_ids(request: AnyRequest) -> dict[str, int]:
    """Disable or enable flows."""
    call = Call(request)
    return await _switched(call, await _named(call), "/disable/" in request.url.path)


@post([f"{_BASE}/disable/by-query", f"{_BASE}/enable/by-query"], status_code=200, tags=["Flows"])
async def switch_by_query(request: AnyRequest) -> dict[str, int]:
    """Disable or enable the flows that a query finds."""
    call = Call(request)
    return await _switched(call, await _found(call), "/disable/" in request.url.path)


async def _archive(call: Call, rows: list[FlowRow]) -> Response[bytes]:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for row in rows:
            source = await deployment.published_source(call.api, row)
            if source is not None:
                archive.writestr(f"{row.namespace}.{row.id}.yml", source)
    headers = {"content-disposition": 'attachment; filename="flows.zip"'}
    return Response(buffer.getvalue(), media_type="application/octet-stream", headers=headers)


@post(f"{_BASE}/export/by-ids", status_code=200, tags=["Flows"])
async def export_by_ids(request: AnyRequest) -> Response[bytes]:
    """Return flows as a zip archive."""
    call = Call(request)
    return await _archive(call, await _named(call))


@get(f"{_BASE}/export/by-query", tags=["Flows"])
async def export_by_query(request: AnyRequest) -> Response[bytes]:
    """Return the flows that a query finds as a zip archive."""
    call = Call(request)
    return await _archive(call, await _found(call))


@post(f"{_BASE}/import", status_code=200, tags=["Flows"])
async def import_flows(request: AnyRequest) -> list[str]:
    """Save the flows of an archive or a text; return the names of those that are not valid."""
    call = Call(request)
    with multipart.form() as form:
        await read_form(request, form, call.api.settings.text_part_max)
        if not form.uploads:
            raise Refused("The body must be 'multipart/form-data' with a part 'fileUpload' that has a file name.")
        upload = form.uploads[0]
        size_max = call.api.settings.body_max
        is_archive = upload.file_name.lower().endswith(".zip")
        sources = _unpacked(upload, size_max) if is_archive else [_flows_in(upload, size_max)]
    wrong: list[str] = []
    for source in sources:
        try:
            for flow in deployment.read_flows(call, source):
                await deployment.save(call.api, flow)
        except InvalidFlow as error:
            if call.query.flag("failOnError"):
                raise
            flows = [each.data for each in _documents(source) if isinstance(each.data, dict)]
            names = [str(flow["id"]) for flow in flows if flow.get("id")]
            wrong += names or [str(error)]
    return wrong


def _flows_in(upload: multipart.Upload, size_max: int) -> str:
    """Return a text of flows; raise Refused when it cannot be taken for one, so that no name of a flow can be told."""
    text = _text(_content(upload, size_max))
    try:
        documents = [document.data for document in read_documents(text)]
    except InvalidFlow as error:
        raise Refused(f"'{upload.file_name}' is neither a zip archive nor YAML: {error}") from error
    if not any(isinstance(data, dict) for data in documents):
        raise Refused(f"'{upload.file_name}' holds no flow; send a zip archive with '.yml' files, or YAML.")
    return text


def _unpacked(upload: multipart.Upload, size_max: int) -> list[str]:
    with archives.opened(upload, size_max) as (archive, entries):
        flows = [entry for entry in entries if entry.filename.endswith((".yml", ".yaml"))]
        return [_text(archive.read(entry)) for entry in sorted(flows, key=lambda entry: entry.filename)]


def _content(upload: multipart.Upload, size_max: int) -> bytes:
    """Return what is in an uploaded file of flows: as much as may stand in a body."""
    if upload.size > size_max:
        raise TooLarge(f"'{upload.file_name}' is larger than {size_max} bytes; send its flows in parts.")
    return upload.path.read_bytes()


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise Refused("A flow of the upload is not UTF-8 text.") from None


@get(f"{_BASE}/{{namespace:str}}/{{flow_id:str}}/tasks/{{task_id:str}}", tags=["Flows"])
async def get_task(
    request: AnyRequest, namespace: FromPath[str], flow_id: FromPath[str], task_id: FromPath[str]
) -> dict[str, Any]:
    """Return one task of a flow as it is written."""
    call = Call(request)
    flow = await call.api.definitions.flow(call.tenant_id, namespace, flow_id, call.query.number("revision", least=1))
    found = _task_in(flow.document, task_id) if flow is not None else None
    if found is None:
        raise NotFound(f"Task '{task_id}' does not exist in flow '{namespace}.{flow_id}'.")
    return found


def _task_in(value: Any, task_id: str) -> dict[str, Any] | None:
    if isinstance(value, dict):
        if value.get("id") == task_id and "type" in value:
            return value
        value = list(value.values())
    if isinstance(value, list):
        return next((found for part in value if (found := _task_in(part, task_id)) is not None), None)
    return None


HANDLERS: Final[list[Any]] = [
    validate_flows,
    validate_task,
    validate_trigger,
    save_bulk,
    save_namespace,
    delete_by_ids,
    delete_by_query,
    switch_by_ids,
    switch_by_query,
    export_by_ids,
    export_by_query,
    import_flows,
    get_task,
]
