"""Publishes measurements of a flow's own."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from tiercel.errors import TaskFailed
from tiercel.model.property import DYNAMIC, NOT_EMPTY
from tiercel.plugins.base import RunContext, RunnableTask
from tiercel.plugins.registry import register


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

    async def run(self, context: RunContext) -> None:
        """Publish each of them."""
        for metric in await context.render(self.metrics, list[dict[str, Any]]) or []:
            if not metric.get("name") or metric.get("value") is None:
                raise TaskFailed("Every metric needs a 'name' and a 'value'.")
            name = str(metric["name"])
            kind = await context.render(str(metric.get("type", "counter")).lower(), MetricType)
            tags = {str(key): str(value) for key, value in (metric.get("tags") or {}).items()}
            if kind is MetricType.TIMER:
                length: timedelta = await context.render(metric["value"], timedelta)
                context.timer(name, length.total_seconds(), **tags)
            else:
                value: float = await context.render(metric["value"], float)
                (context.gauge if kind is MetricType.GAUGE else context.counter)(name, value, **tags)
