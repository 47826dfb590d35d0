"""The trigger that asks an address from time to time."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from tiercel.model.property import DEPRECATED, DYNAMIC, NOT_EMPTY
from tiercel.plugins.base import PollingTrigger
from tiercel.plugins.registry import register


@register("io.kestra.plugin.core.http.Trigger", "io.kestra.plugin.fs.http.Trigger")
class HttpTrigger(PollingTrigger, frozen=True, kw_only=True):
    """Start an execution when the answer to a request meets the condition, over `response`."""

    uri: Annotated[str, DYNAMIC, NOT_EMPTY]
    method: Annotated[str, DYNAMIC] = "GET"
    body: Annotated[Any, DYNAMIC] = None
    form_data: Annotated[dict[str, Any] | str | None, DYNAMIC] = None
    content_type: Annotated[str | None, DYNAMIC] = None
    headers: Annotated[dict[str, Any] | str | None, DYNAMIC] = None
    params: Annotated[dict[str, Any] | str | None, DYNAMIC] = None
    options: Annotated[dict[str, Any], DYNAMIC] = msgspec.field(default_factory=dict)
    ssl_options: Annotated[dict[str, Any] | None, DYNAMIC, DEPRECATED] = None
    allow_failed: Annotated[bool | str, DYNAMIC] = False
    encrypt_body: bool = False
    response_condition: Annotated[str, DYNAMIC] = "{{ response.statusCode < 400 }}"
