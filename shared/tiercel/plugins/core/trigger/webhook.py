"""Triggers that other programs call: webhooks, and tools of a model context protocol server."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta

from tiercel.model.property import DYNAMIC, NOT_EMPTY, Node
from tiercel.model.task import Trigger
from tiercel.plugins.registry import register


class BodyFetch(StrEnum):
    """What becomes of the body of a call; files of a form are stored whatever this says."""

    FETCH = "FETCH"
    """It is `trigger.body`: data when it is JSON, base64 when its content type is none of a text."""
    STORE = "STORE"
    """It goes to internal storage, and its URI is `trigger.uri`."""
    NONE = "NONE"
    """It is dropped."""


class WebhookTrigger(Trigger, frozen=True, kw_only=True):
    """What every webhook has: a key that its callers must know."""

    key: Annotated[str, DYNAMIC, NOT_EMPTY, Meta(max_length=256)]
    """A secret part of the address: who knows it may start the flow."""
    fetch_type: BodyFetch = BodyFetch.FETCH
    """What becomes of the body of a call."""


@register("io.kestra.plugin.core.trigger.Webhook", "io.kestra.core.models.triggers.types.Webhook")
class Webhook(WebhookTrigger, frozen=True, kw_only=True):
    """
    Start an execution when its address is called; with `wait` the answer comes at its end.

    Example:
        id: called
        type: io.kestra.plugin.core.trigger.Webhook
        key: a-long-secret
    """

    wait: bool = False
    """Whether the answer comes when the execution has ended."""
    return_outputs: bool = False
    """Whether the answer holds the execution's outputs."""
    response_content_type: str | None = None
    """The content type of the answer."""
    response_code: Annotated[int | str | None, DYNAMIC] = None
    """The status of the answer."""


class ToolAnnotations(Node, frozen=True, kw_only=True):
    """What a caller of the tool may expect of it."""

    title: str | None = None
    read_only: bool = False
    open_world: bool = True
    destructive: bool = True
    idempotent: bool = False


@register("io.kestra.plugin.core.trigger.McpToolTrigger")
class McpToolTrigger(Trigger, frozen=True, kw_only=True):
    """Offer the flow as a tool; its inputs are the tool's arguments, its outputs the answer."""

    tool_name: Annotated[str, Meta(max_length=64)] | None = None
    title: str | None = None
    tool_description: str | None = None
    annotations: ToolAnnotations = ToolAnnotations()
    mcp_server: Any = "default"
