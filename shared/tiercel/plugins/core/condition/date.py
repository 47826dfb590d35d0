"""Conditions on a date."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from tiercel.model.property import DYNAMIC
from tiercel.model.task import Condition
from tiercel.plugins.registry import REGISTRY

PREFIX = "io.kestra.plugin.core.condition."
OLD_PREFIX = "io.kestra.core.models.conditions.types."
TRIGGER_DATE = "{{ trigger.date }}"


def names(simple: str) -> tuple[str, ...]:
    """Return the type name of a condition and its older names."""
    return (
        f"{PREFIX}{simple}",
        f"{PREFIX}{simple}Condition",
        f"{OLD_PREFIX}{simple}",
        f"{OLD_PREFIX}{simple}Condition",
    )


class DayOfWeek(StrEnum):
    MONDAY = "MONDAY"
    TUESDAY = "TUESDAY"
    WEDNESDAY = "WEDNESDAY"
    THURSDAY = "THURSDAY"
    FRIDAY = "FRIDAY"
    SATURDAY = "SATURDAY"
    SUNDAY = "SUNDAY"


class DayInMonth(StrEnum):
    FIRST = "FIRST"
    LAST = "LAST"
    SECOND = "SECOND"
    THIRD = "THIRD"
    FOURTH = "FOURTH"


@REGISTRY.register(*names("DateTimeBetween"))
class DateTimeBetween(Condition, frozen=True, kw_only=True):
    """The date lies after and before these, both excluded."""

    date: Annotated[str, DYNAMIC] = TRIGGER_DATE
    after: Annotated[str | None, DYNAMIC] = None
    before: Annotated[str | None, DYNAMIC] = None


@REGISTRY.register(*names("TimeBetween"))
class TimeBetween(Condition, frozen=True, kw_only=True):
    """The time of the date lies after and before these."""

    date: Annotated[str, DYNAMIC] = TRIGGER_DATE
    after: Annotated[str | None, DYNAMIC] = None
    before: Annotated[str | None, DYNAMIC] = None


@REGISTRY.register(*names("DayWeek"))
class DayWeek(Condition, frozen=True, kw_only=True):
    """The date is this day of the week."""

    date: Annotated[str, DYNAMIC] = TRIGGER_DATE
    day_of_week: Annotated[str | DayOfWeek, DYNAMIC]


@REGISTRY.register(*names("DayWeekInMonth"))
class DayWeekInMonth(Condition, frozen=True, kw_only=True):
    """The date is the first (second, … last) such day of the week in its month."""

    date: Annotated[str, DYNAMIC] = TRIGGER_DATE
    day_of_week: Annotated[str | DayOfWeek, DYNAMIC]
    day_in_month: Annotated[str | DayInMonth, DYNAMIC]


@REGISTRY.register(*names("Weekend"))
class Weekend(Condition, frozen=True, kw_only=True):
    """The date is a Saturday or a Sunday."""

    date: Annotated[str, DYNAMIC] = TRIGGER_DATE


@REGISTRY.register(*names("PublicHoliday"))
class PublicHoliday(Condition, frozen=True, kw_only=True):
    """The date is a public holiday of the country."""

    date: Annotated[str, DYNAMIC] = TRIGGER_DATE
    country: Annotated[str | None, DYNAMIC] = None
    sub_division: Annotated[str | None, DYNAMIC] = None
