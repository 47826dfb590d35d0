"""
What a trigger's definition means for the scheduler, worked out once per revision of its flow.

Webhook and Flow triggers have no plan: others evaluate them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta, tzinfo
from enum import StrEnum
from typing import Any, Final

import msgspec

from tiercel.condition.evaluate import Render
from tiercel.condition.moment import read_moment
from tiercel.errors import ExpressionError
from tiercel.model.flow import Flow
from tiercel.model.task import Condition, Trigger
from tiercel.plugins.base import PollingTrigger, RealtimeTrigger
from tiercel.plugins.core.trigger.schedule import RecoverMissedSchedules, Schedule, ScheduleOnDates
from tiercel.schedule.cron import parse_cron
from tiercel.schedule.timetable import CronTimetable, DatesTimetable, Timetable
from tiercel.schedule.zone import find_zone

REALTIME_PAUSE: Final = timedelta(seconds=1)
"""A realtime trigger that has ended is started again after this time, so that one that fails at once does not spin."""


REALTIME_FAILED_PAUSE: Final = timedelta(minutes=1)
"""And after this time when it has failed: what it listens to may be away for a while."""


class Kind(StrEnum):
    """Who evaluates the trigger: the scheduler by its timetable, a worker now and then, or a worker all the time."""

    SCHEDULE = "SCHEDULE"
    POLLING = "POLLING"
    REALTIME = "REALTIME"


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator decides for all schedules, and the variables that every expression sees."""

    zone: tzinfo = UTC
    recover: RecoverMissedSchedules = RecoverMissedSchedules.ALL
    variables: Mapping[str, Any] = {}


class TriggerPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One trigger of one revision of a flow."""

    uid: str
    flow: Flow
    trigger: Trigger
    place: int
    """Its place among the flow's triggers."""
    kind: Kind
    timetable: Timetable | None = None
    interval: timedelta | None = None
    recover: RecoverMissedSchedules = RecoverMissedSchedules.ALL
    late_maximum_delay: timedelta | None = None
    conditions: tuple[Condition, ...] = ()
    variables: Mapping[str, Any] = {}

    @property
    def disabled(self) -> bool:
        """True when the author switched the trigger or its flow off."""
        return self.trigger.disabled or self.flow.disabled or self.flow.draft

    @property
    def conditional(self) -> bool:
        """True when not every date counts."""
        return bool(self.conditions) or self.trigger.when is not None

    @property
    def zone(self) -> tzinfo:
        """The zone in which its dates are written."""
        return self.timetable.zone if self.timetable is not None else UTC


def trigger_uid(flow: Flow, trigger_id: str) -> str:
    """Return the key of a trigger's state and messages."""
    return f"{flow.uid}/{trigger_id}"


def flow_uid(uid: str) -> str:
    """Return the key of the flow of a trigger's key."""
    return uid.rpartition("/")[0]


def scheduled(flow: Flow) -> list[tuple[int, Trigger, Kind]]:
    """Return the triggers of a flow that are the scheduler's, with their places and kinds."""
    found = []
    for place, trigger in enumerate(flow.triggers):
        kind = _kind_of(trigger)
        if kind is not None:
            found.append((place, trigger, kind))
    return found


def plan_of(flow: Flow, place: int, kind: Kind, around: Surroundings, render: Render) -> TriggerPlan:
    """Work out a trigger; raise InvalidCron, InvalidZone or ExpressionError when it can never fire."""
    trigger = flow.triggers[place]
    plan = TriggerPlan(
        uid=trigger_uid(flow, trigger.id),
        flow=flow,
        trigger=trigger,
        place=place,
        kind=kind,
        recover=getattr(trigger, "recover_missed_schedules", None) or around.recover,
        conditions=trigger.conditions,
        variables={**around.variables, **_flow_variables(flow)},
    )
    match trigger:
        case Schedule():
            zone = find_zone(trigger.timezone) if trigger.timezone else around.zone
            cron = parse_cron(trigger.cron, with_seconds=trigger.with_seconds)
            return msgspec.structs.replace(
                plan,
                timetable=CronTimetable(cron, zone),
                late_maximum_delay=trigger.late_maximum_delay,
                conditions=(*trigger.conditions, *trigger.schedule_conditions),
            )
        case ScheduleOnDates():
            zone = find_zone(trigger.timezone) if trigger.timezone else around.zone
            dates = [read_moment(text, zone) for text in _texts(trigger.dates, plan.variables, render)]
            return msgspec.structs.replace(plan, timetable=DatesTimetable(dates, zone))
        case PollingTrigger():
            return msgspec.structs.replace(plan, interval=trigger.interval)
        case _:
            return msgspec.structs.replace(plan, interval=REALTIME_PAUSE)


def _kind_of(trigger: Trigger) -> Kind | None:
    match trigger:
        case Schedule() | ScheduleOnDates():
            return Kind.SCHEDULE
        case PollingTrigger():
            return Kind.POLLING
        case RealtimeTrigger():
            return Kind.REALTIME
        case _:
            return None


def _flow_variables(flow: Flow) -> dict[str, Any]:
    about = {"id": flow.id, "namespace": flow.namespace, "revision": flow.revision, "tenantId": flow.tenant_id}
    variables: dict[str, Any] = {"flow": about}
    if flow.variables:
        variables["vars"] = flow.variables
    if flow.labels:
        variables["labels"] = dict(flow.labels)
    return variables


def _texts(value: Sequence[str] | str, variables: Mapping[str, Any], render: Render) -> list[str]:
    """Render a list of texts, which may be written as one expression that gives a JSON list."""
    if not isinstance(value, str):
        return [render(str(item), variables) for item in value]
    rendered = render(value, variables)
    try:
        return msgspec.json.decode(rendered, type=list[str])
    except ValueError as error:
        raise ExpressionError(f"'dates' must render to a JSON list of dates, but it is '{rendered}'.") from error
