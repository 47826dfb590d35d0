"""
Concurrency scopes and quotas: aggregates of their own, keyed like executions, behind the same fence.

A scope knows who holds its slots and who waits, in order. Executions ask and are answered by messages, so that two
executors can never count the same slot.
"""

from __future__ import annotations

import msgspec

from tiercel.executor.core import quotas
from tiercel.messages.execution_event import (
    QuotaRequested,
    ScopeEvent,
    SlotGranted,
    SlotRefused,
    SlotReleased,
    SlotRequested,
    SlotsCounted,
)
from tiercel.messages.topics import EXECUTION_EVENT
from tiercel.model.flow import ConcurrencyBehavior
from tiercel.queue.base import Outgoing
from tiercel.statestore.base import Scope


def decide(scope: Scope, event: ScopeEvent) -> tuple[Scope, list[Outgoing]]:
    """Return the scope after the event, and the answers to executions."""
    match event:
        case SlotRequested():
            return _request(scope, event)
        case SlotReleased():
            return _release(scope, event)
        case SlotsCounted():
            reserved = max(0, event.running - len(scope.holders))
            return _fill(msgspec.structs.replace(scope, reserved=reserved, limit=event.limit), event)
        case QuotaRequested():
            return quotas.decide(scope, event)


def _request(scope: Scope, event: SlotRequested) -> tuple[Scope, list[Outgoing]]:
    if event.holder in scope.holders:
        return scope, [_granted(event.holder, event)]
    if event.holder in scope.waiting:
        return scope, []
    holders, waiting = scope.holders, scope.waiting
    if len(holders) + scope.reserved < event.limit and not waiting:
        return _changed(scope, (*holders, event.holder), waiting, event.limit), [_granted(event.holder, event)]
    if event.behavior == ConcurrencyBehavior.QUEUE:
        waiting = (*waiting, event.holder)
    refused = SlotRefused(execution_id=event.holder, at=event.at, scope=event.execution_id, behavior=event.behavior)
    answers = [Outgoing(topic=EXECUTION_EVENT, key=event.holder, message=refused)]
    # The limit may have grown with a new revision of the flow: the line moves up.
    moved, grants = _fill(_changed(scope, holders, waiting, event.limit), event)
    return moved, answers + grants


def _release(scope: Scope, event: SlotReleased) -> tuple[Scope, list[Outgoing]]:
    holders = tuple(holder for holder in scope.holders if holder != event.holder)
    waiting = tuple(holder for holder in scope.waiting if holder != event.holder)
    if holders == scope.holders and waiting == scope.waiting:
        return scope, []
    return _fill(_changed(scope, holders, waiting, scope.limit), event)


def _fill(scope: Scope, event: ScopeEvent) -> tuple[Scope, list[Outgoing]]:
    free = max(0, scope.limit - len(scope.holders) - scope.reserved)
    next_ones, rest = scope.waiting[:free], scope.waiting[free:]
    if not next_ones:
        return scope, []
    moved = _changed(scope, (*scope.holders, *next_ones), rest, scope.limit)
    return moved, [_granted(holder, event) for holder in next_ones]


def _changed(scope: Scope, holders: tuple[str, ...], waiting: tuple[str, ...], limit: int) -> Scope:
    return msgspec.structs.replace(scope, holders=holders, waiting=waiting, limit=limit)


def _granted(holder: str, event: ScopeEvent) -> Outgoing:
    message = SlotGranted(execution_id=holder, at=event.at, scope=event.execution_id)
    return Outgoing(topic=EXECUTION_EVENT, key=holder, message=message)
