"""
New executions: from a request (or a webhook, or a replay) to the event that creates them.

The answer is the execution as it was sent; an executor takes it from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tiercel.errors import Conflict, InvalidFlow, NotFound, Refused
from tiercel.messages.creation import created
from tiercel.messages.execution_event import CreateExecution
from tiercel.messages.topics import EXECUTION_EVENT
from tiercel.model import ids
from tiercel.model.execution import Breakpoint, Execution, ExecutionKind
from tiercel.model.execution_json import execution_json
from tiercel.model.flow import Flow
from tiercel.model.system import CORRELATION_ID, FROM, is_system_label
from tiercel.queue.base import Outgoing
from tiercel.webserver.query import Query, labels, read_instant

if TYPE_CHECKING:
    from tiercel.webserver.context import ApiContext


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a request says of the execution that it wants, besides inputs."""

    labels: dict[str, str] = {}
    origin: str = "api"
    """What asks: a program, or people who use a page (`ui`)."""
    wait: bool = False
    revision: int | None = None
    schedule_date: datetime | None = None
    kind: ExecutionKind = ExecutionKind.NORMAL
    breakpoints: tuple[Breakpoint, ...] = ()


_PLAIN = Wish()
_PAGE: Final = "ui"
"""The only origin that a request may name: that of a page."""


def read_wish(query_string: bytes) -> Wish:
    """Read the query of a request that creates an execution."""
    if not query_string:
        return _PLAIN
    query = Query(query_string)
    given = labels(query.all("labels"))
    origin = given.pop(FROM) if given.get(FROM) == _PAGE else _PLAIN.origin
    refuse_system_labels(given)
    kind, date = query.one("kind"), query.one("scheduleDate")
    if kind is not None and kind not in ExecutionKind.__members__:
        raise Refused(f"'{kind}' is not a kind of execution; use one of {', '.join(ExecutionKind)}.")
    return Wish(
        labels=given,
        origin=origin,
        wait=query.flag("wait"),
        revision=query.number("revision", least=1),
        schedule_date=read_instant("scheduleDate", date) if date else None,
        kind=ExecutionKind(kind) if kind else ExecutionKind.NORMAL,
        breakpoints=read_breakpoints(query),
    )


def read_breakpoints(query: Query) -> tuple[Breakpoint, ...]:
    """Read tasks to stop before: `task`, or `task.value` for one iteration, separated by commas."""
    named = [text.strip() for each in query.all("breakpoints") for text in each.split(",")]
    places = [name.partition(".") for name in named if name]
    return tuple(Breakpoint(id=task_id, value=value if dot else None) for task_id, dot, value in places)


def refuse_system_labels(given: Mapping[str, str]) -> None:
    """Refuse labels that only the system sets; a correlation id may be given."""
    for key, value in given.items():
        if is_system_label(key) and key != CORRELATION_ID:
            raise Refused(offending_label(key, value))


def offending_label(key: str, value: str) -> str:
    """Say, in Kestra's words, that nobody but the system sets a label."""
    return f"System labels can only be set by Kestra itself, offending label: {key}={value}"


async def executable_flow(
    api: ApiContext,
    tenant_id: str,
    namespace: str,
    flow_id: str,
    revision: int | None = None,
    kind: ExecutionKind = ExecutionKind.NORMAL,
) -> Flow:
    """
    Return the flow to execute: its published revision, or the one that is asked for.

    Raises NotFound, Conflict when it is disabled, and Refused when there are only drafts, for a draft that is asked
    for outside of the playground, and for one that is not valid.
    """
    if revision is None:
        flow = await api.flows.flow(tenant_id, namespace, flow_id)
    else:
        try:
            flow = await api.definitions.flow(tenant_id, namespace, flow_id, revision)
        except InvalidFlow as error:
            message = f"Cannot execute revision {revision} of '{namespace}.{flow_id}': its flow definition is invalid"
            raise Refused(f"{message}: {error}") from error
    if flow is None:
        last = await api.definitions.row(tenant_id, namespace, flow_id) if revision is None else None
        if last is not None and last.draft:
            raise Refused(
                f"Cannot execute a draft: '{namespace}.{flow_id}' only has draft revisions; save a published one first."
            )
        raise NotFound("Flow not found")
    if flow.disabled:
        raise Conflict(f"Cannot execute a disabled flow: enable '{namespace}.{flow_id}' first.")
    if flow.draft and kind is not ExecutionKind.PLAYGROUND:
        raise Refused(
            f"Revision {revision} of '{namespace}.{flow_id}' is a draft, which only the playground runs; "
            "ask for 'kind=PLAYGROUND', or save it."
        )
    return flow


def execution_labels(
    flow: Flow, given: Mapping[str, str], execution_id: str, origin: str | None
) -> tuple[tuple[str, str], ...]:
    """Return the labels of a new execution: the flow's, the request's over them, and those of the system."""
    merged = {key: value for key, value in flow.labels.items() if not is_system_label(key)}
    merged.update(given)
    merged.setdefault(CORRELATION_ID, execution_id)
    if origin is not None:
        merged[FROM] = origin
    return tuple(merged.items())


def creation_event(
    flow: Flow, execution_id: str, at: datetime, wish: Wish, inputs: dict[str, Any] | None, origin: str | None = None
) -> CreateExecution:
    """Return the event that creates an execution; without an `origin`, it is the one that the wish names."""
    return CreateExecution(
        execution_id=execution_id,
        at=at,
        tenant_id=flow.tenant_id,
        namespace=flow.namespace,
        flow_id=flow.id,
        flow_revision=flow.revision or 1,
        inputs=inputs,
        labels=execution_labels(flow, wish.labels, execution_id, origin or wish.origin),
        schedule_date=wish.schedule_date,
        kind=wish.kind,
        breakpoints=wish.breakpoints,
    )


async def send(api: ApiContext, event: CreateExecution) -> Execution:
    """Send the event; return the execution as it will be created."""
    await api.emitter.emit(Outgoing(topic=EXECUTION_EVENT, key=event.execution_id, message=event))
    execution = created(event)
    api.reader.remember(execution)
    return execution


def created_json(api: ApiContext, execution: Execution, is_new: bool) -> dict[str, Any]:
    """Return the answer to a request that creates: the execution with the addresses of its page and its flow's."""
    data = execution_json(execution, now=execution.history[0].date)
    return data | addresses(api, execution, is_new)


def addresses(api: ApiContext, execution: Execution, is_new: bool) -> dict[str, str]:
    """Return the addresses of the pages of an execution and of its flow, as answers hold them."""
    tenant = f"{execution.tenant_id}/" if is_new else ""
    flow = f"{api.settings.base_url}/ui/{tenant}flows/{execution.namespace}/{execution.flow_id}"
    return {"url": page_url(api, execution, is_new), "flowUrl": flow}


def page_url(api: ApiContext, execution: Execution, is_new: bool) -> str:
    """Return the address of an execution's page in the user interface."""
    tenant = f"{execution.tenant_id}/" if is_new else ""
    place = f"{execution.namespace}/{execution.flow_id}/{execution.id}"
    return f"{api.settings.base_url}/ui/{tenant}executions/{place}"


def new_id(api: ApiContext) -> tuple[str, datetime]:
    """Return an id for a new execution, and the instant of its creation."""
    now = api.clock.now()
    return ids.new_id(now), now
