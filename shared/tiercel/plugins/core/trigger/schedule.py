"""Triggers of the clock."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from tiercel.model.property import DEPRECATED, DYNAMIC, REMOVED, Written
from tiercel.model.task import Condition, Trigger
from tiercel.plugins.registry import register
from tiercel.schedule.cron import cron_problem


class RecoverMissedSchedules(StrEnum):
    """What happens, after a standstill, to the dates that have passed."""

    ALL = "ALL"
    LAST = "LAST"
    NONE = "NONE"


@register("io.kestra.plugin.core.trigger.Schedule", "io.kestra.core.models.triggers.types.Schedule")
class Schedule(Trigger, frozen=True, kw_only=True):
    """
    Start an execution at every date of a cron expression.

    Example:
        id: every_morning
        type: io.kestra.plugin.core.trigger.Schedule
        cron: "0 9 * * MON-FRI"
        timezone: Europe/Paris
    """

    cron: Annotated[str, Written(cron_problem)]
    """When: five fields, or `@hourly` and the like."""
    with_seconds: bool = False
    """True when the first of six fields is the seconds."""
    timezone: str | None = None
    """The zone of the dates, for example `Europe/Paris`."""
    late_maximum_delay: timedelta | None = None
    """A date that is missed by more is left out."""
    recover_missed_schedules: RecoverMissedSchedules | None = None
    """What happens to dates that passed while nothing ran."""
    schedule_conditions: Annotated[tuple[Condition, ...], DEPRECATED, REMOVED] = ()
    backfill: Annotated[dict[str, Any] | None, DEPRECATED, REMOVED] = None
    interval: Any = None


@register("io.kestra.plugin.core.trigger.ScheduleOnDates")
class ScheduleOnDates(Trigger, frozen=True, kw_only=True):
    """Start an execution at each of these dates."""

    dates: Annotated[list[str] | str, DYNAMIC]
    """The dates."""
    timezone: str | None = None
    """The zone of dates without one."""
    recover_missed_schedules: RecoverMissedSchedules | None = None
    interval: Any = None
