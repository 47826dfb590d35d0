"""
Commands to executions: what each of them needs, what it sends, and how long an answer waits for its effect.

The executor decides; a command that makes no sense there changes nothing. What is checked here only makes the answer
to the caller a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from tiercel.errors import Conflict
from tiercel.messages.execution_event import (
    BreakpointLeft,
    DeleteRequested,
    Event,
    ForceRunRequested,
    KillRequested,
    LabelsRequested,
    PauseRequested,
    ReplayRequested,
    RestartRequested,
    ResumeRequested,
    ReviewRequested,
    StateRequested,
    UnqueueRequested,
)
from tiercel.messages.history import ExecutionDeleted
from tiercel.messages.topics import EXECUTION_EVENT, HISTORY
from tiercel.model import ids
from tiercel.model.execution import Breakpoint, Execution
from tiercel.model.state import State
from tiercel.model.system import is_system_label
from tiercel.plugins.core.flow.approval import Decision
from tiercel.queue.base import Outgoing
from tiercel.webserver.context import ApiContext
from tiercel.webserver.problem import BulkRefused

Check = Callable[[Execution], str | None]
"""Tells why an execution cannot be worked on, None when it can."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """
    One kind of command: its name, when it can be given, and the event for an execution.

    `refusal` explains to who asked for one execution, `bulk_refusal` to who asked for many.
    """

    name: str
    allows: Callable[[Execution], bool]
    refusal: Callable[[Execution], str]
    bulk_refusal: Callable[[Execution], str]
    event: Callable[[ApiContext, Execution], Event]


def _state(execution: Execution) -> str:
    return f"current state is '{execution.state}'"


def _is_set_by_hand(execution: Execution) -> bool:
    return execution.state.is_terminated and execution.state is not State.KILLED


def kill(*, cascade: bool) -> Command:
    """End executions as KILLED."""
    return Command(
        name="kill",
        allows=lambda e: not e.state.is_terminated,
        refusal=lambda e: f"Cannot kill execution: it has ended already, {_state(e)}.",
        bulk_refusal=lambda e: f"execution already finished, {_state(e)}",
        event=lambda api, e: KillRequested(execution_id=e.id, at=api.clock.now(), cascade=cascade),
    )


def pause() -> Command:
    """Let running tasks end, start no others."""
    return Command(
        name="pause",
        allows=lambda e: e.state.is_running,
        refusal=lambda e: f"Cannot pause execution: {_state(e)}, expected RUNNING.",
        bulk_refusal=lambda e: f"execution not running, {_state(e)}",
        event=lambda api, e: PauseRequested(execution_id=e.id, at=api.clock.now()),
    )


def resume(inputs: dict[str, Any] | None = None, by: str | None = None) -> Command:
    """Go on after a pause."""
    return Command(
        name="resume",
        allows=lambda e: e.state is State.PAUSED,
        refusal=lambda e: f"Cannot resume execution: {_state(e)}, expected PAUSED.",
        bulk_refusal=lambda e: f"execution not in a paused state, {_state(e)}",
        event=lambda api, e: ResumeRequested(execution_id=e.id, at=api.clock.now(), inputs=inputs, resumed_by=by),
    )


def review(
    decision: Decision, run_id: str, comment: str | None = None, inputs: dict[str, Any] | None = None
) -> Command:
    """Approve or deny what an Approval asks for."""
    return Command(
        name="review",
        allows=lambda e: not e.state.is_terminated,
        refusal=lambda e: f"Cannot review execution: it has ended already, {_state(e)}.",
        bulk_refusal=lambda e: f"execution already finished, {_state(e)}",
        event=lambda api, e: ReviewRequested(
            execution_id=e.id,
            at=api.clock.now(),
            decision=str(decision),
            task_run_id=run_id,
            comment=comment,
            inputs=inputs,
        ),
    )


def leave_breakpoint(following: tuple[Breakpoint, ...] = ()) -> Command:
    """Go on from a breakpoint, to the breakpoints that follow."""
    return Command(
        name="resume from breakpoint",
        allows=lambda e: e.state is State.BREAKPOINT,
        refusal=lambda e: f"Cannot resume execution from a breakpoint: {_state(e)}, expected BREAKPOINT.",
        bulk_refusal=lambda e: f"execution not at a breakpoint, {_state(e)}",
        event=lambda api, e: BreakpointLeft(execution_id=e.id, at=api.clock.now(), breakpoints=following),
    )


def restart(revision: int | None = None) -> Command:
    """Run what failed again: in place, or as a new execution when another revision is asked for."""

    def event(api: ApiContext, execution: Execution) -> Event:
        now = api.clock.now()
        if revision is None or revision == execution.flow_revision:
            return RestartRequested(execution_id=execution.id, at=now)
        new_id = ids.new_id(now)
        return ReplayRequested(execution_id=execution.id, at=now, new_id=new_id, revision=revision, restart=True)

    return Command(
        name="restart",
        allows=lambda e: e.state.is_terminated and e.state not in (State.SUCCESS, State.KILLED),
        refusal=lambda e: f"Cannot restart execution: {_state(e)}, expected terminated or paused.",
        bulk_refusal=lambda e: f"must be terminated or paused to be restarted, {_state(e)}",
        event=event,
    )


def replay(
    revision: Callable[[Execution], int | None] = lambda _: None,
    task_run_id: str | None = None,
    inputs: dict[str, Any] | None = None,
    new_id: str | None = None,
    breakpoints: tuple[Breakpoint, ...] = (),
) -> Command:
    """Run executions again as new ones."""

    def event(api: ApiContext, execution: Execution) -> Event:
        now = api.clock.now()
        return ReplayRequested(
            execution_id=execution.id,
            at=now,
            new_id=new_id or ids.new_id(now),
            task_run_id=task_run_id,
            revision=revision(execution),
            inputs=inputs,
            breakpoints=breakpoints,
        )

    return Command(name="replay", allows=_always, refusal=_state, bulk_refusal=_state, event=event)


def change_status(state: State) -> Command:
    """Set the state of terminated executions by hand."""
    return Command(
        name="change executions state",
        allows=_is_set_by_hand,
        refusal=lambda e: "Cannot change execution state: execution must be terminated and not killed.",
        bulk_refusal=lambda e: "execution not in a terminated state or is killed",
        event=lambda api, e: StateRequested(execution_id=e.id, at=api.clock.now(), state=state),
    )


def set_labels(labels: dict[str, str], *, keep: bool) -> Command:
    """Set labels of terminated executions; with `keep` those that are not named stay."""

    def event(api: ApiContext, execution: Execution) -> Event:
        own = {key: value for key, value in execution.labels if not is_system_label(key)} if keep else {}
        merged = tuple({**own, **labels}.items())
        return LabelsRequested(execution_id=execution.id, at=api.clock.now(), labels=merged)

    return Command(
        name="set labels",
        allows=lambda e: e.state.is_terminated,
        refusal=lambda e: f"Cannot set labels on execution: {_state(e)}, expected terminated.",
        bulk_refusal=lambda e: f"execution is not terminated, {_state(e)}",
        event=event,
    )


def force_run() -> Command:
    """Run now, without waiting for a slot, a date or a resume."""
    return Command(
        name="force run",
        allows=lambda e: not e.state.is_terminated,
        refusal=lambda e: f"Cannot force run execution: {_state(e)}, expected not terminated.",
        bulk_refusal=lambda e: f"execution in a terminated state, {_state(e)}",
        event=lambda api, e: ForceRunRequested(execution_id=e.id, at=api.clock.now()),
    )


def unqueue(state: State) -> Command:
    """Take executions out of the waiting line."""
    return Command(
        name="unqueue",
        allows=lambda e: e.state is State.QUEUED,
        refusal=lambda e: f"Cannot unqueue execution: {_state(e)}, expected QUEUED.",
        bulk_refusal=lambda e: f"execution not in state QUEUED, {_state(e)}",
        event=lambda api, e: UnqueueRequested(execution_id=e.id, at=api.clock.now(), state=state),
    )


def delete(*, include_running: bool = False, logs: bool = True, metrics: bool = True) -> Command:
    """Forget executions that have ended, with their logs and metrics unless these are to stay."""
    return Command(
        name="delete",
        allows=lambda e: include_running or e.state.is_terminated,
        refusal=lambda e: f"Cannot delete execution: {_state(e)}, expected terminated; kill it first.",
        bulk_refusal=lambda e: f"execution not terminated, {_state(e)}",
        event=lambda api, e: DeleteRequested(
            execution_id=e.id, at=api.clock.now(), running=include_running, logs=logs, metrics=metrics
        ),
    )


def _always(_: Execution) -> bool:
    return True


_UNCHANGED: Final = (LabelsRequested, ForceRunRequested)
"""Commands that may change nothing: their answer does not wait long for a change."""
_UNCHANGED_WAIT_S: Final = 0.5
"""How long the answer waits all the same."""


async def give(api: ApiContext, command: Command, execution: Execution) -> Event:
    """Give a command to one execution and wait for its effect; raise Conflict when it makes no sense."""
    if not command.allows(execution):
        raise Conflict(command.refusal(execution))
    event = command.event(api, execution)
    await send(api, event)
    await effect(api, event, execution)
    return event


async def send(api: ApiContext, *events: Event) -> None:
    """Send events to their executions; what only history has left of a deleted one is deleted there, too."""
    messages = [Outgoing(topic=EXECUTION_EVENT, key=each.execution_id, message=each) for each in events]
    deleted = {each.execution_id: each for each in events if isinstance(each, DeleteRequested)}
    if deleted:
        live = await api.statestore.versions(list(deleted))
        messages += [
            Outgoing(
                topic=HISTORY,
                key=id_,
                message=ExecutionDeleted(execution_id=id_, logs=each.logs, metrics=each.metrics),
            )
            for id_, each in deleted.items()
            if id_ not in live
        ]
    await api.emitter.emit(*messages)


async def effect(api: ApiContext, event: Event, before: Execution) -> bool:
    """Wait until the event has changed what it is to change; False when the time is over first."""
    if isinstance(event, ReplayRequested):
        return await api.followers.until(event.new_id, lambda version: version is not None, api.settings.command_wait_s)
    if isinstance(event, DeleteRequested):
        gone = await api.followers.until(before.id, lambda version: version is None, api.settings.command_wait_s)
        if gone:
            api.reader.forget(before.id)
        return gone
    patience_s = _UNCHANGED_WAIT_S if isinstance(event, _UNCHANGED) else api.settings.command_wait_s
    return await api.followers.until(
        before.id, lambda version: version is not None and version[0] > before.version, patience_s
    )


async def give_all(
    api: ApiContext, command: Command, tenant_id: str, execution_ids: Sequence[str], *, wait: bool
) -> int:
    """Give a command to many executions; raise BulkRefused, and do nothing, when it makes no sense for one of them."""
    wanted = list(dict.fromkeys(execution_ids))
    found = await api.reader.heads(tenant_id, wanted)
    invalids = [_invalid(id_, "execution not found") for id_ in wanted if id_ not in found]
    invalids += [_invalid(e.id, command.bulk_refusal(e)) for e in found.values() if not command.allows(e)]
    if invalids:
        raise BulkRefused(f"invalid bulk {command.name}", invalids)
    events = {id_: command.event(api, execution) for id_, execution in found.items()}
    if events:
        await send(api, *events.values())
    if wait and events:
        await _effects(api, events, found)
    return len(events)


async def _effects(api: ApiContext, events: dict[str, Event], before: dict[str, Execution]) -> None:
    """Wait until all events have had their effect, in all no longer than for one."""
    end = api.clock.now().timestamp() + api.settings.command_wait_s
    for id_, event in events.items():
        if api.clock.now().timestamp() >= end:
            return
        await effect(api, event, before[id_])


def _invalid(execution_id: str, message: str) -> dict[str, Any]:
    return {"message": message, "invalidValue": execution_id, "path": "id"}
