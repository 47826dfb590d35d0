"""Expressions inside the core: rendered with facts, time from the event, and randomness seeded by the task run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, TypeVar

import msgspec

from tiercel.errors import ExpressionError
from tiercel.executor.core.context import context_of
from tiercel.executor.core.draft import Draft
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.host import FactsHost
from tiercel.executor.core.plan import Node
from tiercel.expression.rendering import Renderer
from tiercel.expression.truth import means_true
from tiercel.model.duration import parse_duration
from tiercel.model.execution import TaskRun

E = TypeVar("E", bound=StrEnum)

_SECONDS: Final = re.compile(r"\d+(\.\d+)?")


class Rendering:
    """Renders the properties of one task (or of the flow) for one event."""

    def __init__(
        self, draft: Draft, facts: Facts, run: TaskRun | None = None, node: Node | None = None, **more: Any
    ) -> None:
        seed = f"{run.id}:{run.attempt}" if run else f"{draft.execution.id}:{draft.at.timestamp()}"
        self._renderer = Renderer(facts.engine, FactsHost(facts, draft.at, seed))
        self.context = context_of(draft, facts, run, node, **more)

    def text(self, value: Any) -> str | None:
        """Render to text; None stays None."""
        if value is None:
            return None
        if isinstance(value, bool):
            return "true" if value else "false"
        if not isinstance(value, str):
            return str(value)
        return self._renderer.render(value, self.context)

    def with_variables(self, text: str, variables: Mapping[str, Any]) -> str:
        """Render a text with other variables than the execution's."""
        return self._renderer.render(text, variables)

    def data(self, text: str) -> Any:
        """Render a lone expression to its value, and anything else to text."""
        return self._renderer.render_data(text, self.context)

    def value(self, value: Any) -> Any:
        """Render all texts inside maps and lists."""
        return self._renderer.render_value(value, self.context)

    def duration(self, value: Any, name: str) -> timedelta | None:
        """Render a duration, or a number of seconds; None stays None, and an empty text becomes None."""
        if value is None or isinstance(value, timedelta):
            return value
        text = self.text(value)
        if text is None or not text.strip():
            return None
        try:
            return parse_duration(float(text) if _SECONDS.fullmatch(text.strip()) else text)
        except ValueError as error:
            raise ExpressionError(f"'{name}': {error}") from error

    def number(self, value: Any, name: str) -> int | None:
        """Render a whole number from 0 on; None stays None, and an empty text becomes None."""
        text = self.text(value)
        if text is None or not text.strip():
            return None
        if not text.strip().isdecimal():
            raise ExpressionError(f"'{name}' must be a number from 0 on, but it is '{text}'.")
        return int(text)

    def choice(self, value: Any, kind: type[E], name: str) -> E | None:
        """Render one of a few names; None stays None, and an empty text becomes None."""
        text = self.text(value)
        if text is None or not text.strip():
            return None
        try:
            return kind(text.strip())
        except ValueError as error:
            raise ExpressionError(f"'{name}' must be one of {', '.join(kind)}, but it is '{text}'.") from error

    def holds(self, condition: Any) -> bool:
        """Render a condition and tell whether it holds."""
        return means_true(self.text(condition))

    def mapping(self, value: Any, name: str) -> dict[str, Any]:
        """Render a map, or a text that renders to a JSON map."""
        rendered = self.value(value)
        if isinstance(rendered, str):
            try:
                rendered = msgspec.json.decode(rendered.encode())
            except ValueError as error:
                raise ExpressionError(f"'{name}' must render to a JSON object: {error}.") from error
        if rendered is None:
            return {}
        if not isinstance(rendered, Mapping):
            raise ExpressionError(f"'{name}' must be a map, but it is {type(rendered).__name__}.")
        return dict(rendered)
