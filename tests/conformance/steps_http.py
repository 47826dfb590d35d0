"""Steps that are requests to the API: any request, a webhook, a stream of events."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from tests.conformance.matchers import match
from tests.conformance.paths import walk
from tests.conformance.problems import check_status, message_of
from tests.conformance.result import Mismatch
from tests.conformance.steps_execute import form
from tests.conformance.waiting import eventually
from tests.conformance.world import World, verb

ANSWER = ("json", "body", "headers", "error_contains", "error_equals")


@verb("http")
async def http(world: World, body: dict[str, Any]) -> None:
    """Send a request and hold the answer against the step."""

    async def attempt() -> None:
        response = await _send(world, body)
        if response.status_code < 300:
            await _remember(world, response, body)
        await _check(world, response, body)

    await world.engine.settle()

    if body.get("eventually"):
        await eventually(world.engine, attempt)
    else:
        await attempt()


async def _send(world: World, body: Mapping[str, Any]) -> httpx.Response:
    request: dict[str, Any] = {}
    if "json_body" in body:
        request["json"] = body["json_body"]
    elif "text_body" in body:
        request["content"] = body["text_body"].encode()
        request["headers"] = {"content-type": body.get("content_type", "text/plain")}
    elif "multipart" in body:
        request |= form(body["multipart"])
    path = quote(body["path"], safe="/?&=%:,;@+~!$'()*[].-_{}")
    return await world.engine.http.request(
        body.get("method", "GET"), path.replace("[", "%5B").replace("]", "%5D"), **request
    )


async def _check(world: World, response: httpx.Response, given: Mapping[str, Any]) -> None:
    check_status(response, given.get("status"))
    body = {**given, **await world.filled({key: given[key] for key in ANSWER if key in given})}
    for name, expected in (body.get("headers") or {}).items():
        await match(response.headers.get(name), expected, world, f"header {name}")
    if "error_contains" in body:
        message = message_of(response)
        parts = body["error_contains"]
        for part in parts if isinstance(parts, list) else [parts]:
            if part not in message and part not in response.text:
                raise Mismatch(f"The error is {message!r}, expected {part!r} in it")
    if "error_equals" in body and message_of(response) != body["error_equals"]:
        raise Mismatch(f"The error is {message_of(response)!r}, expected {body['error_equals']!r}")
    if "json" in body:
        await match(_json(response), body["json"], world, "json")
    if "body" in body:
        text: Any = response.text or None
        await match(text if body["body"] is None else response.text, body["body"], world, "body")


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        raise Mismatch(f"The answer is not JSON: {response.text[:400]}") from None


async def _remember(world: World, response: httpx.Response, body: Mapping[str, Any]) -> None:
    name = body.get("as")
    if not name:
        return
    data = _json(response)
    if isinstance(data, Mapping) and "id" in data and "flowId" in data:
        found = await world.wait_for(data["id"], lambda one: True, "its creation")
        world.remember(name, found)
        world.returned[name] = found
    else:
        world.remember(name, data)


@verb("webhook")
async def webhook(world: World, body: dict[str, Any]) -> None:
    """Call a flow's webhook."""
    prefix = "/api/v1/main/executions/webhook"
    path = f"{prefix}/{body['namespace']}/{body['flow']}/{body['key']}"
    if body.get("query"):
        path += f"?{body['query']}"
    request: dict[str, Any] = {}
    content = body.get("body")
    if isinstance(content, str):
        request = {"content": content.encode(), "headers": {"content-type": "text/plain"}}
    elif content is not None:
        request = {"json": content}
    response = await world.engine.http.request(body.get("method", "GET"), path, **request)
    error = body.get("error")
    if error:
        check_status(response, error.get("http_status", "error"))
        if "contains" in error and error["contains"] not in message_of(response):
            raise Mismatch(f"The error is {message_of(response)!r}, expected {error['contains']!r} in it")
        return
    check_status(response, body.get("status"))
    await _remember(world, response, body)


@verb("sse")
async def sse(world: World, body: dict[str, Any]) -> None:
    """Follow a stream of events to its end."""
    events = await _events(world, body["path"])
    if len(events) < body.get("events_min", 0):
        raise Mismatch(f"There are {len(events)} events, expected at least {body['events_min']}: {events}")
    for key, place in (("first_event_id", 0), ("last_event_id", -1)):
        if key in body and events[place]["id"] != body[key]:
            raise Mismatch(f"The event at {place} has id {events[place]['id']}, expected {body[key]}")
    if "last_event" in body:
        data = next((event["data"] for event in reversed(events) if isinstance(event["data"], Mapping)), {})
        if _state(data) != body["last_event"]["state"]:
            raise Mismatch(f"The last event is {data}, expected state {body['last_event']['state']}")
    for claim in body.get("events_count", []):
        count = sum(1 for event in events if _is_event(event, claim))
        if count != claim["count"]:
            raise Mismatch(f"{count} events are {claim}: {[(one['id'], _state(one['data'])) for one in events]}")


async def _events(world: World, path: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    async with world.engine.http.stream("GET", path, timeout=60) as response:
        if response.status_code >= 300:
            await response.aread()
        check_status(response, "ok")
        current: dict[str, Any] = {"id": None, "data": None}
        async for line in response.aiter_lines():
            if not line:
                if current["id"] is not None or current["data"] is not None:
                    events.append(current)
                current = {"id": None, "data": None}
                continue
            field, _, value = line.partition(":")
            if field == "data":
                current["data"] = _data(value.strip())
            elif field == "id":
                current["id"] = value.strip()
    return events


def _data(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _state(data: Any) -> Any:
    found = walk(data, "state.current")
    return found if isinstance(found, str) else walk(data, "state")


def _is_event(event: Mapping[str, Any], claim: Mapping[str, Any]) -> bool:
    if "id" in claim and event["id"] != claim["id"]:
        return False
    return "state" not in claim or _state(event["data"]) == claim["state"]
