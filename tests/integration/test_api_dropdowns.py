"""Inputs whose values another service tells: `http()` in the expression of a dropdown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.api_stage import Stage

FLOW = """
id: shop
namespace: company.team
inputs:
  - id: category
    type: SELECT
    expression: "{{{{ http(uri = '{address}/categories') | jq('.[].slug') }}}}"
  - id: product
    type: SELECT
    dependsOn: {{inputs: [category]}}
    expression: "{{{{ http(uri = '{address}/products/' ~ inputs.category) }}}}"
tasks:
  - {{id: say, type: io.kestra.plugin.core.log.Log, message: "{{{{ inputs.product }}}}"}}
"""
GREEDY = """
id: greedy
namespace: company.team
inputs:
  - id: any
    type: SELECT
    expression: "{{% for n in range(1, 50) %}}{{{{ http(uri = '{address}/products/' ~ n) }}}}{{% endfor %}}"
tasks:
  - {{id: say, type: io.kestra.plugin.core.log.Log, message: x}}
"""


class Shop:
    """A service that answers with JSON, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.address = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readline()).split()[1].decode()
        while (await reader.readline()).strip():
            pass
        self.asked.append(path)
        found: Any = [{"slug": "fruit"}] if path == "/categories" else ["apple", "pear"]
        body = json.dumps(found).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close"
        writer.write(head.encode() + b"\r\n\r\n" + body)
        await writer.drain()
        writer.close()


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    shop = Shop()
    server = await asyncio.start_server(shop.answer, "127.0.0.1", 0)
    shop.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield shop


async def validated(stage: Stage, flow: str, **values: str) -> dict[str, Any]:
    """Send a form for validation, as the page that shows it does; return what is said of each input."""
    form = {name: (None, value) for name, value in values.items()} or {"other": (None, "x")}
    answer = await stage.call("POST", f"executions/company.team/{flow}/validate", files=form)
    return {each["input"]["id"]: each for each in answer["inputs"]}


async def test_the_values_of_a_dropdown_are_asked_of_a_service(shop: Shop, tmp_path: Path) -> None:
    """What is chosen in one decides what the next is asked for."""
    stage = Stage(tmp_path)
    await stage.call("POST", "flows", content=FLOW.format(address=shop.address))

    found = await validated(stage, "shop", category="fruit", product="apple")
    wrong = await validated(stage, "shop", category="fruit", product="plum")

    assert "apple" == found["product"]["value"]
    assert not found["product"].get("errors")
    assert wrong["product"]["errors"]
    assert {"/categories", "/products/fruit"} == set(shop.asked)
    await stage.close()


async def test_an_installation_may_forbid_inputs_to_ask(shop: Shop, tmp_path: Path) -> None:
    """With `webserver.input-request-s: 0` no request leaves the webserver, and the input says why."""
    stage = Stage(tmp_path, input_request_s=0)
    await stage.call("POST", "flows", content=FLOW.format(address=shop.address))

    found = await validated(stage, "shop", category="fruit")

    assert "only be asked while a task runs in a worker" in str(found["category"]["errors"])
    assert [] == shop.asked
    await stage.close()


async def test_requests_of_one_form_are_bounded(shop: Shop, tmp_path: Path) -> None:
    """A loop over requests ends with a sentence."""
    stage = Stage(tmp_path)
    await stage.call("POST", "flows", content=GREEDY.format(address=shop.address))

    answer = await stage.call("POST", "executions/company.team/greedy", status=422, files={"other": (None, "x")})

    assert "An expression sends more than 20 requests." in answer["message"]
    assert 20 == len(shop.asked)
    await stage.close()
