"""The live state of a trigger, owned by the scheduler (reference 5.1, 5.7)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from tiercel.model.state import State
from tiercel.model.tenant import MAIN_TENANT


class Backfill(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A past stretch of time that a schedule is run over."""

    start: datetime
    end: datetime
    current_date: datetime
    paused: bool = False
    inputs: dict[str, Any] | None = None
    labels: tuple[tuple[str, str], ...] = ()
    previous_next_execution_date: datetime | None = None


class TriggerState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """
    What is known of a trigger: when it was last evaluated, when it is next, and what locks it.

    `execution_id` is the execution that runs for it; `evaluating_since` is set while a worker evaluates it. `why` says,
    for people, why it waits; `alive_at` is when the worker last told that it still runs it; `error` is why the last
    evaluation failed.
    """

    uid: str
    tenant_id: str = MAIN_TENANT
    namespace: str
    flow_id: str
    trigger_id: str
    flow_revision: int
    kind: str = "SCHEDULE"
    evaluated_at: datetime | None = None
    next_evaluation_date: datetime | None = None
    last_triggered_date: datetime | None = None
    backfill: Backfill | None = None
    stop_after: tuple[State, ...] = ()
    disabled: bool = False
    locked: bool = False
    execution_id: str | None = None
    evaluating_since: datetime | None = None
    worker_id: str | None = None
    alive_at: datetime | None = None
    error: str | None = None
    updated_at: datetime | None = None
    why: str | None = None
    version: int = 0
