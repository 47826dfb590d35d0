"""Expressions inside the core: rendered with facts, time from the event, and chance from the task run."""

from __future__ import annotations

import random  # reason: seeded from the task run, so that every pass of a decision draws the same
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

import msgspec

from tiercel.errors import ExpressionError
from tiercel.executor.core.context import context_of
from tiercel.executor.core.draft import Draft
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.plan import Node
from tiercel.expression.host import Absent, FileAddress, HttpRequest, HttpResponse, SubflowCall, SubflowResult
from tiercel.expression.rendering import Renderer
from tiercel.model.execution import TaskRun

FALSE_TEXTS: Final = frozenset({"", "false", "0", "-0"})
"""What a condition's text is when it does not hold (reference 2)."""


def is_truthy(text: str | None) -> bool:
    """Tell whether the text of a rendered condition means true."""
    return text is not None and text.strip() not in FALSE_TEXTS


class FactsHost:
    """Answers expressions from facts; what is not known is asked for with Missing."""

    def __init__(self, facts: Facts, at: datetime, seed: str) -> None:
        self._facts = facts
        self._at = at
        self._seed = seed
        self._random: random.Random | None = None

    @property
    def zone(self) -> tzinfo:
        return UTC

    @property
    def random(self) -> random.Random:
        if self._random is None:
            self._random = random.Random(self._seed)
        return self._random

    def now(self) -> datetime:
        return self._at

    def secret(self, namespace: str, key: str) -> str:
        return str(self._facts.ask("secret", namespace, key))

    def kv(self, namespace: str, key: str, *, inherited: bool) -> Any:
        return self._facts.ask("kv", namespace, key, inherited)

    def read_file(self, file: FileAddress) -> bytes:
        content: bytes = self._facts.ask("file", file)
        return content

    def file_size(self, file: FileAddress) -> int:
        return int(self._facts.ask("file_size", file))

    def file_exists(self, file: FileAddress) -> bool:
        return bool(self._facts.ask("file_exists", file))

    def file_uri(self, file: FileAddress) -> str:
        return str(self._facts.ask("file_uri", file))

    def error_logs(self) -> list[Mapping[str, Any]]:
        raise Absent("Logs can only be read while a task runs in a worker.")

    def http(self, request: HttpRequest) -> HttpResponse:
        raise OSError("http() can only be called while a task runs in a worker.")

    def subflow(self, call: SubflowCall) -> SubflowResult:
        raise Absent("subflow() can only be called while a task runs in a worker.")

    def free_port(self) -> int:
        raise OSError("A port can only be found while a task runs in a worker.")


class Rendering:
    """Renders the properties of one task (or of the flow) for one event."""

    def __init__(
        self, draft: Draft, facts: Facts, run: TaskRun | None = None, node: Node | None = None, **more: Any
    ) -> None:
        seed = f"{run.id}:{run.attempt}" if run else f"{draft.execution.id}:{draft.at.timestamp()}"
        self._renderer = Renderer(facts.around.engine, FactsHost(facts, draft.at, seed))
        self._context = context_of(draft, facts, run, node, **more)

    def text(self, value: Any) -> str | None:
        """Render to text; None stays None."""
        if value is None:
            return None
        if isinstance(value, bool):
            return "true" if value else "false"
        if not isinstance(value, str):
            return str(value)
        return self._renderer.render(value, self._context)

    def typed(self, text: str) -> Any:
        """Render a lone expression to its value."""
        return self._renderer.render_typed(text, self._context)

    def value(self, value: Any) -> Any:
        """Render all texts inside maps and lists."""
        return self._renderer.render_value(value, self._context)

    def holds(self, condition: Any) -> bool:
        """Render a condition and tell whether it holds."""
        return is_truthy(self.text(condition))

    def mapping(self, value: Any, name: str) -> dict[str, Any]:
        """Render a map, or a text that renders to a JSON map."""
        rendered = self.value(value)
        if isinstance(rendered, str):
            try:
                rendered = msgspec.json.decode(rendered.encode())
            except msgspec.DecodeError as error:
                raise ExpressionError(f"'{name}' must render to a JSON object: {error}.") from error
        if rendered is None:
            return {}
        if not isinstance(rendered, Mapping):
            raise ExpressionError(f"'{name}' must be a map, but it is {type(rendered).__name__}.")
        return dict(rendered)
