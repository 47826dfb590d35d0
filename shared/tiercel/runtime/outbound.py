"""HTTP requests that expressions send: `http()` in a worker's tasks, and in inputs, whose values a form shows."""

from __future__ import annotations

from typing import Final

import httpx

from tiercel.expression.host import HttpRequest, HttpResponse

TIMEOUT_S: Final = 30.0
"""For the whole of a request: an expression waits for its answer, and an execution for the expression."""
BODY_MAX: Final = 16 << 20
"""Bytes of an answer, as of a file that an expression may read."""


async def answered(request: HttpRequest, *, timeout_s: float = TIMEOUT_S, body_max: int = BODY_MAX) -> HttpResponse:
    """Send a request and return the answer, whatever its status; raise OSError when there is none, or a larger one."""
    headers = [(name, value) for name, values in request.headers.items() for value in values]
    try:
        async with (
            httpx.AsyncClient(timeout=timeout_s, follow_redirects=True) as client,
            client.stream(request.method, request.uri, headers=headers, content=request.body) as response,
        ):
            body = bytearray()
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > body_max:
                    raise OSError(f"The answer of '{request.uri}' is larger than {body_max} bytes.")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OSError(str(error) or type(error).__name__) from error
    return HttpResponse(
        status=response.status_code,
        reason=response.reason_phrase,
        content_type=response.headers.get("content-type", ""),
        body=bytes(body),
    )
