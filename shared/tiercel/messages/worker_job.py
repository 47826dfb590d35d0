"""
Jobs for workers: one task run, or one evaluation of a trigger.

A job carries the task's definition as the flow has it (plugin defaults merged, unrendered) and only that part of the
execution's context which its expressions can reach; secrets are named in it, never carried.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from tiercel.messages.successor import Successor


class TaskJob(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """
    Run one task. `definition` is the task as MessagePack of plain data, the same bytes for every run of a revision.

    `context` holds variables as expressions see them, but for outputs that are in internal storage: `large` maps the
    path of such a value (`outputs`, task id, iteration values …) to its URI, and the worker loads it when it is
    touched. `timeout` is unrendered. `dialect` is that of the flow. `sent_at` is when the executor decided it.
    `successor` is what may be run at once when this ends well.
    """

    tenant_id: str
    namespace: str
    flow_id: str
    flow_revision: int
    execution_id: str
    seq: int
    attempt: int
    task_id: str
    task_run_id: str
    value: str | None = None
    definition: msgspec.Raw
    context: dict[str, Any]
    large: tuple[tuple[tuple[str, ...], str], ...] = ()
    log_level: str | None = None
    dialect: str = "2.x"
    sent_at: datetime | None = None
    successor: Successor | None = None


class TriggerJob(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Evaluate a polling trigger, or run a realtime one, of a flow's revision."""

    tenant_id: str
    namespace: str
    flow_id: str
    flow_revision: int
    trigger_id: str
    trigger_uid: str
    definition: msgspec.Raw
    context: dict[str, Any]
    evaluated_at: datetime
    log_level: str | None = None
    dialect: str = "2.x"


WorkerJob = TaskJob | TriggerJob
