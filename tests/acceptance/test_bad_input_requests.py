"""Requests that make no sense: the API refuses them with a sentence, and never with an error of the server."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest

from tests.acceptance.installation import API, Installation
from tests.patience import PATIENCE_S

WELL = """\
id: well
namespace: bad
tasks:
  - id: done
    type: io.kestra.plugin.core.debug.Return
    format: fine
"""
UNKNOWN: Final = "0352t2aIsqE6Dunrqj87td"
"""An id as ours are, of an execution that does not exist."""
NAMES: Final = (
    "nobody",
    UNKNOWN,
    "%00",
    "%0D%0Ax",
    "..%2F..",
    "%FF%FE",
    "a" * 2000,
    "-1",
    "%C3%A9",
    "bad",
    "well",
    "%27%3B--",
)
BODIES: Final = (
    *(b"", b"{", b"null", b"[]", b'{"a":1}', b'"x"', b"\xff\xfe", b"[null]", b"1e999", b"id: [", b"[" * 5000, b"\0"),
    *(b'["nobody"]', b'[{"key":null}]', b'{"taskRunId":"x","state":"WHAT"}', b'{"labels":"x"}', b'{"a":"\\u0000"}'),
    *(b'["a\\u0000"]', b'[{"key":"a\\u0000","value":"b"}]', b'id: bad\nnamespace: bad\ndescription: "\\0"'),
    b'{"namespace":"bad","flowId":"well","triggerId":"a\\u0000","keys":["a\\u0000"],"namespaces":["a\\u0000"]}',
)
KINDS: Final = (
    *("application/json", "application/x-yaml", "multipart/form-data; boundary=x", "multipart/form-data"),
    *("text/plain", "application/x-www-form-urlencoded"),
)
QUERIES: Final = (
    *("", "page=-1", "page=x&size=x", "size=999999999999999999999", "page=99999999999999&size=100", "size=0"),
    *("page=99999999999999999999", "page=9223372036854775807&size=1000", "revisions=99999999999", "attempt=%C2%B2"),
    *("filters[state][EQUALS]=WHAT", "filters[x][y]=%FF", "filters[startDate][EQUALS]=x", "sort=x:y", "state=WHAT"),
    *("startDate=x", "timeRange=x", "labels=x", "path=/etc/passwd", "path=kestra:///../../etc/passwd", "path=%00"),
    *("taskRunId=x", "revision=x", "revision=99999999999999999999", "minLevel=x", "q=%00", "namespace=%27"),
    *("expression=%7B%7B", "flowScope=x", "scheduleDate=x", "kind=x", "newStatus=WHAT", "status=WHAT"),
)
ROUNDS_READING: Final = 12
"""Requests to each route that only reads."""
ROUNDS_WRITING: Final = 12
"""Requests to each route that changes something."""
AT_ONCE: Final = 8
"""Requests under way: one that hangs must not hold up all others."""
SIDE_WORDS: Final = ("by-query", "follow")
"""What works on everything there is, and what never ends."""


async def test_no_request_is_answered_with_an_error_of_the_server(installation: Installation) -> None:
    """Each path and method of the API with names, queries and bodies that nobody means; the same ones each time."""
    chance = random.Random(11)
    await installation.put(WELL)
    paths: dict[str, dict[str, Any]] = (await installation.http.get("/api/docs/openapi.json")).json()["paths"]
    requests = [
        request
        for path, methods in paths.items()
        if not any(word in path for word in SIDE_WORDS)
        for method in methods
        for request in _requests(chance, path, method)
    ]
    gate = asyncio.Semaphore(AT_ONCE)

    wrong = [said for said in await asyncio.gather(*(_sent(installation, gate, each) for each in requests)) if said]

    assert len(requests) > 1000
    assert [] == wrong
    await installation.put(WELL.replace("id: well", "id: afterwards"))
    assert "SUCCESS" == (await installation.ended(await installation.start("afterwards")))["state"]["current"]


@pytest.mark.parametrize("route", ["kill", "restart", "resume", "pause", "replay", "state", "labels", "force-run"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
async def test_a_command_to_an_unknown_execution_is_refused(
    installation: Installation, route: str, method: str
) -> None:
    """By every method: it does not exist, or the method is not allowed."""
    answer = await installation.http.request(method, f"{API}/executions/{UNKNOWN}/{route}")

    assert 400 <= answer.status_code < 500
    assert {"message", "_links"} <= answer.json().keys()


def _requests(chance: random.Random, path: str, method: str) -> Iterator[dict[str, Any]]:
    for _ in range(ROUNDS_READING if method == "get" else ROUNDS_WRITING):
        filled = re.sub(r"\{[^}]*\}", lambda _: chance.choice(NAMES), path)
        request = {"method": method.upper(), "url": f"{filled}?{chance.choice(QUERIES)}"}
        if method != "get":
            request |= {"content": chance.choice(BODIES), "headers": {"content-type": chance.choice(KINDS)}}
        yield request


async def _sent(installation: Installation, gate: asyncio.Semaphore, request: dict[str, Any]) -> str | None:
    """Return what is wrong with the answer, None when nothing is."""
    what = f"{request['method']} {request['url'][-120:]} {request.get('content', b'')[:40]!r} {request.get('headers')}"
    async with gate:
        try:
            answer = await installation.http.request(**request, timeout=PATIENCE_S)
        except httpx.HTTPError as error:
            return f"{what}: {error!r}"
    if answer.status_code < 400:
        return None
    try:
        sentence = answer.json()["message"]
    except (ValueError, KeyError, TypeError):
        return f"{what}: {answer.status_code}, but not as errors are: {answer.text[:200]}"
    return None if answer.status_code < 500 and sentence else f"{what}: {answer.status_code} {sentence[:200]}"
