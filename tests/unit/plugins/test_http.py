"""Requests that come to nothing: what their task says of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tiercel.storage.local import LocalStorage
from tiercel.worker.single import Bench


@pytest.fixture
async def silent(tmp_path: Path) -> AsyncIterator[str]:
    """Return the address of a server that takes requests and answers none."""
    over = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(wait, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    over.set()
    server.close()


async def test_a_request_without_an_answer_names_the_option(silent: str, tmp_path: Path) -> None:
    """The library's own error has no words."""
    task = {
        "id": "ask",
        "type": "io.kestra.plugin.core.http.Request",
        "uri": silent,
        "options": {"timeout": {"readIdleTimeout": "PT0.05S"}},
    }

    outcome = await Bench(LocalStorage(tmp_path)).run(task)

    assert f"Request to '{silent}' has failed: no answer within 'options.timeout.readIdleTimeout'." == outcome.error


async def test_a_request_to_no_server_says_so_once(tmp_path: Path) -> None:
    """With one full stop."""
    task = {"id": "ask", "type": "io.kestra.plugin.core.http.Request", "uri": "http://127.0.0.1:1/"}

    outcome = await Bench(LocalStorage(tmp_path)).run(task)

    assert "Request to 'http://127.0.0.1:1/' has failed: All connection attempts failed." == outcome.error
