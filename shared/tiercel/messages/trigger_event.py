"""Everything that can happen to a trigger; the key is its uid (`tenant/namespace/flow/trigger`)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from tiercel.model.state import State


class TriggerMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Base: `trigger_uid` is the key."""

    trigger_uid: str
    at: datetime


class FlowChanged(TriggerMessage, frozen=True, kw_only=True):
    """The flow of the trigger has a new revision, or is gone (`revision` None): the trigger follows it."""

    revision: int | None


class TriggerEvaluated(TriggerMessage, frozen=True, kw_only=True):
    """
    A worker's answer: variables of an execution to create, or none, or why it failed.

    `evaluation` names the job that it answers by its date; `number` counts what a stream tells, from 1, and is 0 in the
    answer that ends it.
    """

    variables: dict[str, Any] | None = None
    error: str | None = None
    evaluation: datetime | None = None
    number: int = 0


class TriggerAlive(TriggerMessage, frozen=True, kw_only=True):
    """A worker still runs the trigger."""

    worker: str
    evaluation: datetime


class TriggerReturned(TriggerMessage, frozen=True, kw_only=True):
    """A draining worker hands the trigger back: it is to be run by another."""

    worker: str
    evaluation: datetime


class TriggeredExecutionEnded(TriggerMessage, frozen=True, kw_only=True):
    """An execution that the trigger made has ended."""

    execution_id: str
    state: State


class TriggerCommand(TriggerMessage, frozen=True, kw_only=True):
    """A person's command: enable, disable, unlock, restart, backfill-create, -pause, -continue, -delete."""

    command: str
    data: dict[str, Any] = {}


TriggerEvent = (
    FlowChanged | TriggerEvaluated | TriggerAlive | TriggerReturned | TriggeredExecutionEnded | TriggerCommand
)
