"""A trigger that polls an address, on a whole cluster in memory, with a server of the machine's own to poll."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from tests.conformance.memory import Config, cluster
from tests.conformance.result import Mismatch
from tiercel.flowspec.parse import parse_flow
from tiercel.messages.broadcast import FlowUpdated
from tiercel.messages.topics import BROADCAST
from tiercel.queue.base import Outgoing

PATIENCE_S: Final = 60
"""Seconds of virtual time that an effect may take."""
ANSWER: Final = json.dumps({"id": "joke", "value": "It compiles."}).encode()


async def poll_address(source: str, least: int, scratch: Path) -> None:
    """Deploy a flow whose trigger polls; raise Mismatch unless so many executions come of it, or more."""
    with _server() as address:
        flow = parse_flow(re.sub(r"uri: \S+", f"uri: {address}", source), revision=1)
        async with cluster(Config(environment={}), scratch) as engine:
            await engine.definitions.create(flow)
            news = FlowUpdated(tenant_id="main", namespace=flow.namespace, flow_id=flow.id, revision=1)
            await engine.queue.emit(Outgoing(topic=BROADCAST, key="", message=news))
            for _ in range(PATIENCE_S):
                await engine.clock.sleep(1.0)  # virtual time: it passes at once
                made = await engine.executions(flow.namespace, flow.id)
                if len(made) >= least:
                    return
    raise Mismatch(f"The trigger makes {len(made)} executions, expected {least} or more.")


@contextmanager
def _server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/jokes/random"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Say nothing."""
