"""
All processes of Tiercel in a folder of their own, for tests, benchmarks and demonstrations.

The server is `tiercel server standalone` as anybody starts it, on free ports; what it says goes to `server.log`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tiercel.errors import Unavailable

PORTS: Final = range(10_000, 20_000)
"""Below the ports that the kernel gives to clients, one of which would take a port that was free a moment ago."""
READY_TIMEOUT_S: Final = 90.0
"""A start with an empty PostgreSQL takes seconds; a machine may be busy with other tests."""
STOP_TIMEOUT_S: Final = 60.0
"""Beyond the grace that the processes keep for their tasks."""
LOOK_S: Final = 0.02
"""Between two looks into the log for the word that it is ready."""


class StandaloneServer:
    """`with StandaloneServer(folder) as server:` starts it, waits until it is ready, and stops it."""

    def __init__(
        self, folder: Path, *, environment: Mapping[str, str] | None = None, arguments: Sequence[str] = ()
    ) -> None:
        self.folder = folder.absolute()
        self.port, self.management_port = free_ports()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ready_s = 0.0
        """How long the start took."""
        self.environment = {**os.environ, "TIERCEL_LOGGING_FORMAT": "json", **(environment or {})}
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log_file(self) -> Path:
        return self.folder / "server.log"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def pid(self) -> int:
        """The supervisor's process."""
        assert self._process is not None, "The server has not been started."
        return self._process.pid

    def start(self) -> None:
        """Start it; return when all processes are ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        begin = self.log_file.stat().st_size if self.log_file.exists() else 0
        began = time.monotonic()
        with self.log_file.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tiercel.cli.main", "server", "standalone"),
                    *("--data", str(self.data), "--host", "127.0.0.1", "--port", str(self.port)),
                    *("--management-port", str(self.management_port)),
                    *self._arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environment,
                start_new_session=True,
            )
        while not any(event.get("action") == "standalone_ready" for event in self.events(begin)):
            if self._process.poll() is not None or time.monotonic() - began > READY_TIMEOUT_S:
                self.stop()
                tail = "\n".join(self.log_file.read_text(errors="replace").splitlines()[-20:])
                raise Unavailable(f"The server did not become ready; the end of '{self.log_file}':\n{tail}")
            time.sleep(LOOK_S)  # a file tells nobody that it has grown
        self.ready_s = time.monotonic() - began

    def stop(self) -> int:
        """Stop it as an operator would; return the exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_TIMEOUT_S)  # a drain takes as long as its tasks; then it is killed
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def events(self, offset: int = 0) -> list[dict[str, Any]]:
        """Return what the processes have logged, as far as it is structured."""
        found = []
        with self.log_file.open("rb") as file:
            file.seek(offset)
            for line in file:
                if line.startswith(b"{") and line.endswith(b"}\n"):
                    found.append(json.loads(line))
        return found

    def processes(self) -> dict[str, int]:
        """Return the process ids of the supervisor, the services and PostgreSQL."""
        found = {"supervisor": self.pid}
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        services = {event["pid"]: event["service"] for event in self.events() if event.get("action") == "service_ready"}
        for child in map(int, children):
            try:
                command = Path(f"/proc/{child}/cmdline").read_bytes()
            except OSError:
                continue  # it has ended meanwhile
            found["postgres" if b"/postgres\0" in command else services.get(child, f"starting-{child}")] = child
        return found

    def __enter__(self) -> StandaloneServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def free_ports() -> tuple[int, int]:
    """Return a port for the API, and the first of five in a row for the management of the processes."""
    while True:
        first = random.choice(PORTS)
        if all(map(_is_free, range(first, first + 6))):
            return first, first + 1


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
