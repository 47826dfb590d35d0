"""Requests that come to nothing, and what their task says of it; downloads that are run twice."""

from __future__ import annotations

import asyncio
import itertools
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


@pytest.fixture
async def counting() -> AsyncIterator[str]:
    """Return the address of a server that gives each answer another content, and all the same file name."""
    numbers = itertools.count(1)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = "Content-Disposition: attachment; filename=report.csv\r\nContent-Length: 8\r\nConnection: close"
        writer.write(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\nanswer {next(numbers)}".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/any"
    server.close()


@pytest.fixture
async def events() -> AsyncIterator[str]:
    """Return the address of a server that tells of events: JSON with a number, and a text."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        lines = ('{"count": 1}', "plain text", '{"count": 2}', '{"count": {}}')
        writer.write((head + "".join(f"data: {line}\n\n" for line in lines)).encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/any"
    server.close()


async def test_events_that_an_expression_makes_nothing_of_may_be_skipped(events: str, tmp_path: Path) -> None:
    """They fail the task otherwise; where the expression makes a text, the events are no output."""
    task = {"id": "listen", "type": "io.kestra.plugin.core.http.SseRequest", "uri": events}
    expression = {"concatJqExpression": ".data.count"}
    bench = Bench(LocalStorage(tmp_path))

    strict = await bench.run({**task, **expression})
    lax = await bench.run({**task, **expression, "failedOnMissingJq": False})
    plain = await bench.run(task)

    assert "Failed to resolve JQ expression '.data.count'" in (strict.error or "")
    assert {"uri": events, "size": 4, "result": "12"} == lax.outputs
    assert [{"data": "plain text"}] == plain.outputs["events"][1:2]


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


@pytest.mark.parametrize(("properties", "name"), [({}, "report.csv"), ({"saveAs": "mine.txt"}, "mine.txt")])
async def test_a_download_that_is_run_twice_keeps_the_files_of_both_runs(
    counting: str, tmp_path: Path, properties: dict[str, str], name: str
) -> None:
    """After a crash of the queue a job may be run again; both files bear the name that was asked for."""
    task = {"id": "get", "type": "io.kestra.plugin.core.http.Download", "uri": counting, **properties}
    storage = LocalStorage(tmp_path)

    stored = [(await Bench(storage).run(task)).outputs["uri"] for _ in range(2)]

    assert [name, name] == [uri.rpartition("/")[2] for uri in stored]
    assert [b"answer 1", b"answer 2"] == [await storage.read("main", uri) for uri in stored]
