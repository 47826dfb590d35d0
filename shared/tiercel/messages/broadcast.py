"""What every running process hears at least once; each message names what a late subscriber reads instead."""

from __future__ import annotations

from datetime import datetime

import msgspec


class FlowUpdated(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A flow has a new revision or is deleted. Late subscribers read the definition store."""

    tenant_id: str
    namespace: str
    flow_id: str
    revision: int
    deleted: bool = False


class KillRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """
    Kill what runs for an execution: these task runs (`seq`, and up to which attempt), one of them, or all.

    Late subscribers are told by the answer to `started`.
    """

    execution_id: str
    seq: int | None = None
    attempt: int | None = None
    worker: str | None = None
    runs: tuple[tuple[int, int], ...] = ()
    """Named one by one, because what is sent after a kill (`finally`, a restart) is not meant."""


class TriggerStopped(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """
    A trigger was changed or disabled: workers stop what runs for it (one worker, one run when they are named).

    Late subscribers are told when they say that they run it.
    """

    trigger_uid: str
    worker: str | None = None
    evaluation: datetime | None = None


Broadcast = FlowUpdated | KillRun | TriggerStopped
