"""Publishes measurements of a flow's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final

from tiercel.errors import TaskFailed
from tiercel.model.duration import parse_duration
from tiercel.model.property import DYNAMIC, NOT_EMPTY, constant
from tiercel.model.task import Objection
from tiercel.plugins.base import RunContext, RunnableTask
from tiercel.plugins.objection import list_objections
from tiercel.plugins.registry import register

INCOMPLETE: Final = "Every metric needs a 'name' and a 'value'."


class MetricType(StrEnum):
    """What a measurement is."""

    COUNTER = "counter"
    TIMER = "timer"
    GAUGE = "gauge"


@register("io.kestra.plugin.core.metric.Publish")
class Publish(RunnableTask, frozen=True, kw_only=True):
    """Publish measurements: `type` (counter, timer, gauge), `name`, `value`, and perhaps `tags`."""

    COMPUTES: ClassVar[bool] = True

    metrics: Annotated[list[dict[str, Any]] | str, DYNAMIC, NOT_EMPTY]

    def objections(self) -> Iterator[Objection]:
        yield from list_objections(metrics=self.metrics)
        for index, metric in enumerate(self.metrics if isinstance(self.metrics, list) else ()):
            if isinstance(metric, Mapping):
                for name, message in _problems(metric):
                    yield Objection(("metrics", index, name) if name else ("metrics", index), message)
            elif not isinstance(metric, str) or constant(metric) is not None:
                yield Objection(("metrics", index), "must be a map with 'name' and 'value'")

    async def run(self, context: RunContext) -> None:
        """Publish each of them."""
        for metric in await context.render(self.metrics, list[dict[str, Any]]) or []:
            if _lacks(metric):
                raise TaskFailed(INCOMPLETE)
            name = str(metric["name"])
            kind = await context.render(str(metric.get("type", "counter")).lower(), MetricType)
            given = metric.get("tags") or {}
            if not isinstance(given, Mapping):
                raise TaskFailed(f"The tags of the metric '{name}' must be a map of texts, but are '{given}'.")
            tags = {str(key): str(value) for key, value in given.items()}
            if kind is MetricType.TIMER:
                length: timedelta = await context.render(metric["value"], timedelta)
                context.timer(name, length.total_seconds(), **tags)
            else:
                value: float = await context.render(metric["value"], float)
                (context.gauge if kind is MetricType.GAUGE else context.counter)(name, value, **tags)


def _lacks(metric: Mapping[str, Any]) -> bool:
    return any(metric.get(name) in (None, "") for name in ("name", "value"))


def _problems(metric: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the constants of a measurement: the property (or nothing) and the sentence."""
    if _lacks(metric):
        yield "", INCOMPLETE
        return
    if constant(metric.get("tags")) or isinstance(metric.get("tags"), list):
        yield "tags", "must be a map of texts"
    kind, value = constant(metric.get("type", MetricType.COUNTER)), constant(metric["value"])
    if kind is None:
        return
    if kind.lower() not in set(MetricType):
        yield "type", f"must be one of {', '.join(MetricType)}, but is '{kind}'"
    elif value is not None:
        try:
            parse_duration(value) if kind.lower() == MetricType.TIMER else float(value)
        except ValueError:
            wanted = "a duration such as 'PT1.5S'" if kind.lower() == MetricType.TIMER else "a number"
            yield "value", f"must be {wanted}, but is '{value}'"
