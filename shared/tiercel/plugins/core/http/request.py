"""Request: sends a request and returns the answer as outputs."""

from __future__ import annotations

from typing import Annotated, Any

import httpx
import msgspec

from tiercel.errors import TaskFailed
from tiercel.model.property import DYNAMIC
from tiercel.plugins.base import RunContext
from tiercel.plugins.core.http.sender import CONTENT_LENGTH_MAX, HttpTask, check, header_lists, sent
from tiercel.plugins.registry import register


@register("io.kestra.plugin.core.http.Request", "io.kestra.plugin.fs.http.Request")
class Request(HttpTask, frozen=True, kw_only=True):
    """
    Send a request; an answer with an error fails the task unless it is allowed.

    Example:
        id: ask
        type: io.kestra.plugin.core.http.Request
        uri: https://example.com/api/orders
        headers:
          accept: application/json
    """

    encrypt_body: Annotated[bool | str, DYNAMIC] = False
    """True when the body of the answer is an encrypted output."""

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Return the answer's code, headers and body."""
        return await (await answer_of(self, context)).outputs(self, context)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a server has answered, read to its end."""

    uri: str
    code: int
    headers: dict[str, list[str]]
    body: str | None

    async def outputs(self, task: Request, context: RunContext) -> dict[str, Any]:
        """Return the answer as outputs, its body encrypted when the task says so."""
        encrypts = bool(await context.render(task.encrypt_body, bool))
        return {
            "uri": self.uri,
            "code": self.code,
            "headers": self.headers,
            "body": None if encrypts else self.body,
            "encryptedBody": context.encrypt(self.body or "") if encrypts else None,
        }


async def answer_of(task: Request, context: RunContext, *, checked: bool = True) -> Answer:
    """Send a request and read its answer; when `checked`, raise HttpFailed for one that the task does not take."""
    async with sent(task, context) as response:
        if checked:
            await check(task, context, response)
        limit = await context.render(task.given_options.max_content_length, int) or CONTENT_LENGTH_MAX
        content = await _content(response, limit)
    context.counter("response.length", len(content))
    return Answer(
        uri=str(response.url),
        code=response.status_code,
        headers=header_lists(response),
        body=_text(content, response),
    )


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
    except (LookupError, ValueError) as error:
        raise TaskFailed(
            f"The answer is not text in '{charset}': {error}; use the task Download for binary content."
        ) from error
