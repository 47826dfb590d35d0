"""Request: sends a request and returns the answer as outputs."""

from __future__ import annotations

from typing import Annotated, Any

import httpx

from tiercel.errors import TaskFailed
from tiercel.model.property import DYNAMIC
from tiercel.plugins.base import RunContext
from tiercel.plugins.core.http.sender import CONTENT_LENGTH_MAX, HttpTask, check, header_lists, sent
from tiercel.plugins.registry import register


@register("io.kestra.plugin.core.http.Request", "io.kestra.plugin.fs.http.Request")
class Request(HttpTask, frozen=True, kw_only=True):
    """Send a request; an answer with an error fails the task unless it is allowed."""

    encrypt_body: Annotated[bool | str, DYNAMIC] = False

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Return the answer's code, headers and body."""
        async with sent(self, context) as response:
            await check(self, context, response)
            limit = await context.render(self.given_options.max_content_length, int) or CONTENT_LENGTH_MAX
            content = await _content(response, limit)
        context.counter("response.length", len(content))
        body = _text(content, response)
        encrypts = bool(await context.render(self.encrypt_body, bool))
        return {
            "uri": str(response.url),
            "code": response.status_code,
            "headers": header_lists(response),
            "body": None if encrypts else body,
            "encryptedBody": context.encrypt(body or "") if encrypts else None,
        }


async def _content(response: httpx.Response, limit: int) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > limit:
            raise TaskFailed(
                f"The answer has more than {limit} bytes; raise 'options.maxContentLength', or use the task Download."
            )
    return bytes(content)


def _text(content: bytes, response: httpx.Response) -> str | None:
    if not content:
        return None
    charset = response.charset_encoding or "utf-8"
    try:
        return content.decode(charset)
    except (UnicodeDecodeError, LookupError) as error:
        raise TaskFailed(
            f"The answer is not text in '{charset}': {error}; use the task Download for binary content."
        ) from error
