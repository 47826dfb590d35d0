"""What the operator decides about schedulers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tiercel.plugins.core.trigger.schedule import RecoverMissedSchedules


class SchedulerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds and intervals; times in seconds."""

    timezone: str = "UTC"
    """The zone of schedules that name none."""
    recover_missed_schedules: RecoverMissedSchedules = RecoverMissedSchedules.ALL
    """What happens to dates that passed in a standstill, for triggers that do not say: ALL, LAST or NONE."""
    missed_grace_s: float = 30.0
    """A date that is late by no more than this at a takeover is not missed: its scheduler went, another takes over."""
    batch_count: int = 200
    """Triggers, or events of a partition, that are decided in one transaction."""
    wait_s: float = 30.0
    """Safety net when a wake-up is lost."""
    lease_ttl_s: float = 10.0
    """A scheduler that is silent for this long loses its triggers to others."""
    lease_renew_s: float = 3.0
    """How often it renews them: three tries before they are lost."""
    horizon_s: float = 600.0
    """Dates further away are not kept in order, but looked for again in time."""
    reconcile_s: float = 600.0
    """How often all flows are compared with what is known of them, in case news was missed."""
    lock_check_s: float = 60.0
    """How often the executions that lock triggers are asked for."""
    lock_unknown_s: float = 3600.0
    """A trigger whose execution has been unknown for this long is unlocked; an executor may be down for a while."""
    globals: Mapping[str, Any] = {}
    envs: Mapping[str, Any] = {}
    kestra: Mapping[str, str] = {}
    """What expressions see as `kestra`: the installation's `url` and `environment`."""
    encryption_key: str | None = None
    recursive_rendering: bool = False
