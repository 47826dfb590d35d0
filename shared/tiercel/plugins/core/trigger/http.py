"""The trigger that asks an address from time to time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final

from tiercel.model.property import DEPRECATED, DYNAMIC, NOT_EMPTY, Written
from tiercel.model.task import Objection
from tiercel.plugins.base import PollingTrigger, RunContext
from tiercel.plugins.core.http.options import HttpOptions, Ssl
from tiercel.plugins.core.http.request import Request, answer_of
from tiercel.plugins.core.http.sender import method_problem, request_objections
from tiercel.plugins.registry import register

FALSE: Final = frozenset({"", "false", "0", "-0"})
"""Texts of a condition that do not hold."""


@register("io.kestra.plugin.core.http.Trigger", "io.kestra.plugin.fs.http.Trigger")
class HttpTrigger(PollingTrigger, frozen=True, kw_only=True):
    """
    Start an execution when the answer to a request meets the condition, over `response`.

    Example:
        id: is_there
        type: io.kestra.plugin.core.http.Trigger
        uri: https://example.com/health
        interval: PT5M
    """

    uri: Annotated[str, DYNAMIC, NOT_EMPTY]
    """The address that is asked."""
    method: Annotated[str, DYNAMIC, Written(method_problem)] = "GET"
    """The method."""
    body: Annotated[Any, DYNAMIC] = None
    form_data: Annotated[dict[str, Any] | str | None, DYNAMIC] = None
    content_type: Annotated[str | None, DYNAMIC] = None
    headers: Annotated[dict[str, Any] | str | None, DYNAMIC] = None
    """Headers by name."""
    params: Annotated[dict[str, Any] | str | None, DYNAMIC] = None
    options: HttpOptions | None = None
    ssl_options: Annotated[Ssl | None, DEPRECATED] = None
    allow_failed: Annotated[bool | str, DYNAMIC] = False
    encrypt_body: Annotated[bool | str, DYNAMIC] = False
    response_condition: Annotated[str, DYNAMIC] = "{{ response.statusCode < 400 }}"
    """What must be true of the answer for an execution to start."""

    def objections(self) -> Iterator[Objection]:
        yield from request_objections(self.uri, self.options)

    async def evaluate(self, context: RunContext) -> dict[str, Any] | None:
        """Return the answer as the task Request does; None when the condition does not hold for it."""
        request = Request(
            id=self.id,
            type=self.type,
            uri=self.uri,
            method=self.method,
            body=self.body,
            form_data=self.form_data,
            content_type=self.content_type,
            headers=self.headers,
            params=self.params,
            options=self.options,
            ssl_options=self.ssl_options,
            encrypt_body=self.encrypt_body,
        )
        # An answer with an error is judged by the condition, too: by default it starts nothing.
        answer = await answer_of(request, context, checked=False)
        response = {"statusCode": answer.code, "body": answer.body, "headers": answer.headers}
        condition = await context.render(self.response_condition, str, response=response)
        if (condition or "").strip().lower() in FALSE:
            return None
        return await answer.outputs(request, context)
