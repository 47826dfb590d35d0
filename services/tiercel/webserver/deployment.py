"""
Flows are saved here: stored, and then told to everyone who must know.

The store comes first. A process that misses the message finds the new revision in the store; a scheduler reads all
flows when it starts.
"""

from __future__ import annotations

import re

import msgspec

from tiercel.definitions.base import FlowRow
from tiercel.errors import Conflict, InvalidFlow, NotFound, Problem
from tiercel.flowspec import blocktext
from tiercel.flowspec.findings import NewerRules
from tiercel.flowspec.parse import Outside, check_flow, parse_flow, parse_flows, strip_revision, update_problems
from tiercel.flowspec.yaml import read_documents
from tiercel.messages.broadcast import FlowUpdated
from tiercel.messages.topics import BROADCAST, TRIGGER_EVENT
from tiercel.messages.trigger_event import FlowChanged
from tiercel.model.flow import FLOW_ID, NAMESPACE, Flow
from tiercel.queue.base import Outgoing
from tiercel.webserver.context import ApiContext, Call
from tiercel.webserver.settings import RulesOf2


def read_new_flow(call: Call, source: str) -> Flow:
    """
    Read one flow that is to be saved; raise InvalidFlow with every problem.

    What only newer versions of the language refuse is taken with a warning; but what can only fail is refused where the
    setting `rules_of_2` says so. What comes as JSON is kept as YAML.
    """
    report = check_flow(blocktext.from_json(source), _of_saving(call))
    if report.flow is None:
        raise InvalidFlow(report.problems)
    return report.flow


def read_draft(call: Call, source: str) -> Flow:
    """Read a flow that may be unfinished: its name must be there; raise InvalidFlow when it is not."""
    source = blocktext.from_json(source)
    report = check_flow(source, outside(call))
    if report.flow is not None:
        return msgspec.structs.replace(report.flow, draft=True)
    documents = read_documents(source)
    named = documents[0].data if len(documents) == 1 and isinstance(documents[0].data, dict) else {}
    flow_id, namespace = (str(named.get(key, "")) for key in ("id", "namespace"))
    if re.fullmatch(FLOW_ID, flow_id) is None or re.fullmatch(NAMESPACE, namespace) is None:
        raise InvalidFlow(report.problems)
    shown = {key: part for key, part in named.items() if key != "labels"}
    return Flow(
        id=flow_id,
        namespace=namespace,
        tenant_id=call.tenant_id,
        tasks=(),
        draft=True,
        source=strip_revision(source),
        document=shown,
    )


async def readable(api: ApiContext, row: FlowRow) -> Flow | None:
    """Return the flow of a stored revision; None when it cannot be read: a draft, or one of another version."""
    try:
        return await api.definitions.flow(row.tenant_id, row.namespace, row.id, row.revision, deleted=True)
    except InvalidFlow:
        return None


async def published_source(api: ApiContext, row: FlowRow) -> str | None:
    """Return the text that is published of a flow whose last revision is this one; None when there are only drafts."""
    if not row.draft:
        return row.source
    flow = await _published(api, row.tenant_id, row.namespace, row.id)
    return flow.source if flow is not None else None


def read_flow(call: Call, source: str) -> Flow:
    """Read one flow that is saved already; raise InvalidFlow with every problem."""
    return parse_flow(source, tenant_id=call.tenant_id, defaults=call.api.defaults)


def read_flows(call: Call, source: str) -> list[Flow]:
    """Read all flows of a text, or of a JSON list, that are to be saved; raise InvalidFlow with every problem."""
    source = "" if source.strip() == "[]" else blocktext.from_json(source)
    return parse_flows(source, _of_saving(call)) if source.strip() else []


def outside(call: Call) -> Outside:
    """Return what the text of flows is read with."""
    return Outside(tenant_id=call.tenant_id, defaults=call.api.defaults)


def _of_saving(call: Call) -> Outside:
    wanted = call.api.settings.rules_of_2
    refuses = call.is_new if wanted is RulesOf2.BY_PATH else wanted is RulesOf2.REFUSE
    rules = NewerRules.REFUSE_WHAT_FAILS if refuses else NewerRules.WARN
    return msgspec.structs.replace(outside(call), newer_rules=rules)


async def create(api: ApiContext, flow: Flow) -> Flow:
    """Store a new flow; raise InvalidFlow when it exists."""
    try:
        stored = await api.definitions.create(flow)
    except Conflict as error:
        raise InvalidFlow([Problem("flow.id", f"Flow id already exists: {error}")]) from error
    await announce(api, stored, None)
    return stored


async def update(api: ApiContext, namespace: str, flow_id: str, flow: Flow) -> Flow:
    """Store the next revision of a flow; raise NotFound, or InvalidFlow when its name would change."""
    last = await api.definitions.row(flow.tenant_id, namespace, flow_id)
    if last is None:
        raise NotFound(f"Flow '{namespace}.{flow_id}' does not exist; create it instead.")
    if problems := update_problems(flow, last):
        raise InvalidFlow(problems)
    previous = await _published(api, flow.tenant_id, namespace, flow_id)
    stored = await api.definitions.update(flow)
    if stored.revision != last.revision:
        await announce(api, stored, previous)
    return stored


async def _published(api: ApiContext, tenant_id: str, namespace: str, flow_id: str) -> Flow | None:
    """Return what runs until now; None also when it cannot be read any more, for then it has no triggers."""
    try:
        return await api.definitions.published(tenant_id, namespace, flow_id)
    except InvalidFlow:
        return None


async def save(api: ApiContext, flow: Flow) -> Flow:
    """Store a flow, whether it exists or not."""
    if await api.definitions.row(flow.tenant_id, flow.namespace, flow.id) is None:
        return await create(api, flow)
    return await update(api, flow.namespace, flow.id, flow)


async def delete(api: ApiContext, tenant_id: str, namespace: str, flow_id: str) -> None:
    """Delete a flow; raise NotFound when there is none."""
    previous = await _published(api, tenant_id, namespace, flow_id)
    row = await api.definitions.delete(tenant_id, namespace, flow_id)
    if row is None:
        raise NotFound(f"Flow '{namespace}.{flow_id}' does not exist.")
    api.flows.forget(tenant_id, namespace, flow_id)
    message = FlowUpdated(
        tenant_id=tenant_id, namespace=namespace, flow_id=flow_id, revision=row.revision, deleted=True
    )
    await api.emitter.emit(
        Outgoing(topic=BROADCAST, key=flow_id, message=message),
        *_trigger_changes(api, None, previous),
    )


async def announce(api: ApiContext, flow: Flow, previous: Flow | None) -> None:
    """Tell everybody that a flow has a new revision; a draft changes no trigger."""
    api.flows.forget(flow.tenant_id, flow.namespace, flow.id)
    message = FlowUpdated(
        tenant_id=flow.tenant_id, namespace=flow.namespace, flow_id=flow.id, revision=flow.revision or 1
    )
    changes = [] if flow.draft else _trigger_changes(api, flow, previous)
    await api.emitter.emit(Outgoing(topic=BROADCAST, key=flow.id, message=message), *changes)


def _trigger_changes(api: ApiContext, flow: Flow | None, previous: Flow | None) -> list[Outgoing]:
    """Return a message for each trigger that the flow has or had."""
    now, changes = api.clock.now(), dict[str, int | None]()
    if previous is not None:
        changes |= {f"{previous.uid}/{trigger.id}": None for trigger in previous.triggers}
    if flow is not None:
        changes |= {f"{flow.uid}/{trigger.id}": flow.revision for trigger in flow.triggers}
    return [
        Outgoing(topic=TRIGGER_EVENT, key=uid, message=FlowChanged(trigger_uid=uid, at=now, revision=revision))
        for uid, revision in changes.items()
    ]
