"""SseRequest: reads a stream of server-sent events to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import httpx
import jq
import msgspec

from tiercel.errors import TaskFailed
from tiercel.expression.printing import text_of
from tiercel.model.property import DYNAMIC
from tiercel.plugins.base import RunContext
from tiercel.plugins.core.http.sender import CONTENT_LENGTH_MAX, HttpTask, check, sent
from tiercel.plugins.registry import register

EVENTS_MAX: Final = 10_000
"""Events of one task: all of them become an output."""
EVENT_LINES_MAX: Final = 10_000
"""Lines of one field of an event; further ones are dropped."""


@register("io.kestra.plugin.core.http.SseRequest")
class SseRequest(HttpTask, frozen=True, kw_only=True):
    """Send a request, return the events of the answer, or the text that a jq expression makes of them."""

    concat_jq_expression: Annotated[str | None, DYNAMIC] = None
    failed_on_missing_jq: Annotated[bool | str, DYNAMIC] = True
    """Whether an event that the expression makes no text of fails the task; it is skipped otherwise."""

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Read all events."""
        expression = await context.render(self.concat_jq_expression)
        is_strict = await context.render(self.failed_on_missing_jq, bool) is not False
        limit = await context.render(self.given_options.max_content_length, int) or CONTENT_LENGTH_MAX
        events: list[dict[str, Any]] = []
        async with sent(self, context) as response:
            await check(self, context, response)
            async for event in _events(response, limit):
                events.append(event)
                if len(events) > EVENTS_MAX:
                    raise TaskFailed(f"The stream has more than {EVENTS_MAX} events; read it in parts.")
        found = [_extracted(expression, event, is_strict) for event in events] if expression else []
        texts = [text for text in found if text is not None]
        if texts:
            return {"uri": str(response.url), "size": len(events), "result": "".join(texts)}
        return {"uri": str(response.url), "size": len(events), "events": events}


async def _events(response: httpx.Response, limit: int) -> AsyncIterator[dict[str, Any]]:
    fields: dict[str, list[str]] = {}
    size = 0
    async for line in response.aiter_lines():
        size += len(line)
        if size > limit:
            raise TaskFailed(f"The stream has more than {limit} bytes; raise 'options.maxContentLength'.")
        if not line:
            if fields:
                yield _event(fields)
            fields = {}
            continue
        name, _, value = line.partition(":")
        kept = fields.setdefault(name or "comment", [])
        if len(kept) < EVENT_LINES_MAX:
            kept.append(value.removeprefix(" "))
    if fields:
        yield _event(fields)


def _event(fields: dict[str, list[str]]) -> dict[str, Any]:
    event: dict[str, Any] = {}
    for name, values in fields.items():
        text = "\n".join(values)
        event[name] = _parsed(text) if name == "data" else text
    return event


def _parsed(text: str) -> Any:
    try:
        return msgspec.json.decode(text) if text.lstrip()[:1] in ("{", "[") else text
    except msgspec.DecodeError:
        return text


def _extracted(expression: str, event: dict[str, Any], is_strict: bool) -> str | None:
    """Return what the expression makes of an event, the last of its values; None when it makes no text of it."""
    try:
        found = jq.compile(expression).input_value(event).all()
        if any(value is None or isinstance(value, dict | list) for value in found):
            raise ValueError("it gives null, a map or a list where a text is wanted")
    except ValueError as error:
        if not is_strict:
            return None
        value = msgspec.json.encode(event).decode()
        raise TaskFailed(f"Failed to resolve JQ expression '{expression}' and value '{value}': {error}") from error
    return text_of(found[-1]) if found else None
