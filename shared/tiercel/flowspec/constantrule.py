"""
Constants that can only fail when they are used: said when the flow is saved, by those who know what they are used for.

What is disabled is never used, and may hold whatever stands for what is to come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date
from typing import Any, Final

from tiercel.condition.evaluate import is_public_holiday
from tiercel.condition.moment import read_day, read_moment, read_offset_time
from tiercel.errors import ExpressionError
from tiercel.flowspec.findings import Findings
from tiercel.flowspec.places import placed_tasks
from tiercel.flowspec.yaml import Path
from tiercel.model.flow import Flow
from tiercel.model.property import constant
from tiercel.model.task import Condition, Objection, Plugin
from tiercel.plugins.core.condition import date as on_date
from tiercel.plugins.core.condition.execution import MultipleCondition, Not, Or
from tiercel.plugins.core.trigger.schedule import Schedule

ANY_DAY: Final = date(2024, 1, 1)


def check_constants(flow: Flow, findings: Findings) -> None:
    """Note constants that are refused, and those that are only dubious."""
    for path, objection in _objections(flow):
        note = findings.of_constant if objection.refuses else findings.doubt
        note((*path, *objection.path), objection.message)


def _objections(flow: Flow) -> Iterator[tuple[Path, Objection]]:
    off: Path | None = None
    for task, path in placed_tasks(flow):
        if off is not None and path[: len(off)] == off:
            continue
        off = path if task.disabled else None
        if not task.disabled:
            yield from _of_plugin(task, path)
    for at, trigger in enumerate(flow.triggers):
        if not trigger.disabled:
            path = ("triggers", at)
            yield from _of_plugin(trigger, path)
            yield from _of_conditions(trigger.conditions, (*path, "conditions"))
            if isinstance(trigger, Schedule):
                yield from _of_conditions(trigger.schedule_conditions, (*path, "scheduleConditions"))
    for at, listener in enumerate(flow.listeners):
        yield from _of_conditions(listener.conditions, ("listeners", at, "conditions"))


def _of_plugin(plugin: Plugin, path: Path) -> Iterator[tuple[Path, Objection]]:
    try:
        yield from [(path, objection) for objection in plugin.objections()]
    except Exception as error:  # code of a package: a mistake in it keeps nobody from saving a flow
        yield path, Objection((), f"What '{plugin.type}' says of its constants failed: {error!r}", refuses=False)


def _of_conditions(conditions: Iterable[Condition], path: Path) -> Iterator[tuple[Path, Objection]]:
    for at, condition in enumerate(conditions):
        yield from _of_condition(condition, (*path, at))


def _of_condition(condition: Condition, path: Path) -> Iterator[tuple[Path, Objection]]:
    match condition:
        case Not() | Or():
            yield from _of_conditions(condition.conditions, (*path, "conditions"))
        case MultipleCondition():
            for name, inner in condition.conditions.items():
                yield from _of_condition(inner, (*path, "conditions", name))
        case on_date.DateTimeBetween():
            yield from _read(path, read_moment, date=condition.date, after=condition.after, before=condition.before)
        case on_date.TimeBetween():
            yield from _read(path, read_moment, date=condition.date)
            yield from _read(path, read_offset_time, after=condition.after, before=condition.before)
        case on_date.DayWeek() | on_date.DayWeekInMonth() | on_date.Weekend():
            yield from _read(path, read_day, date=condition.date)
        case on_date.PublicHoliday():
            yield from _read(path, read_day, date=condition.date)
            yield from _of_holidays(condition, path)
        case _:
            yield from _of_plugin(condition, path)


def _read(path: Path, read: Callable[[str], Any], **texts: str | None) -> Iterator[tuple[Path, Objection]]:
    """Yield an objection against each constant that cannot be read so."""
    for name, value in texts.items():
        text = constant(value)
        if text is not None:
            try:
                read(text)
            except ExpressionError as error:
                yield path, Objection((name,), str(error), refuses=False)


def _of_holidays(condition: on_date.PublicHoliday, path: Path) -> Iterator[tuple[Path, Objection]]:
    country, part = constant(condition.country), constant(condition.sub_division)
    for name, code, below in (("country", country, None), ("subDivision", country, part)):
        if code is not None and (below is not None or name == "country"):
            try:
                is_public_holiday(ANY_DAY, code, below)
            except ExpressionError as error:
                yield path, Objection((name,), f"{error} Write the codes of ISO 3166.", refuses=False)
                return
