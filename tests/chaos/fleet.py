"""
The processes of an installation, each started alone, as an orchestrator does it.

One is replaced as Kubernetes replaces it: the new one is ready and gets all new requests before the old one gets its
SIGTERM; what the old one has begun it finishes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import httpx

from backing.process import free_port
from tests.patience import look_until
from tiercel.cli.main import SERVICES

READY_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 60.0
"""The longest task takes half a second; the rest is for a busy machine, and much less than the grace of a process."""
COMMAND: Final = (sys.executable, "-m", "tiercel.cli.main")


class Member:
    """One process: what it is, where it is reached, what it says."""

    def __init__(self, service: str, folder: Path, arguments: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self.service = service
        self.port, self.management_port = free_port(), free_port()
        self.log_file = folder / f"{service}-{self.management_port}.log"
        self.stopped_s = 0.0
        with self.log_file.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    *COMMAND, "server", service, *arguments, "--host", "127.0.0.1", "--port", str(self.port),
                    "--management-port", str(self.management_port),
                ],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                env={**os.environ, "TIERCEL_LOGGING_FORMAT": "json", **environment},
            )  # fmt: skip

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def await_ready(self) -> None:
        """Return when `/health/readiness` says so."""
        look_until(self._is_ready, f"{self.service} to be ready, see {self.log_file}", within_s=READY_TIMEOUT_S)

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, f"{self.service} has ended: {self.log_file.read_text()[-2000:]}"
        try:
            return httpx.get(f"http://127.0.0.1:{self.management_port}/health/readiness").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> int:
        """Ask it to stop; return its exit code when it has."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(STOP_TIMEOUT_S)
        self.stopped_s = time.monotonic() - began
        return code

    def events(self) -> list[dict[str, Any]]:
        """Return what it has logged."""
        return [json.loads(line) for line in self.log_file.read_text().splitlines() if line.startswith("{")]


class Fleet:
    """One process of each service; `with` starts them and kills what is left."""

    def __init__(self, folder: Path, arguments: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._arguments = arguments
        self._environment = environment
        self.members: dict[str, Member] = {}
        self.retired: list[Member] = []

    @property
    def url(self) -> str:
        """Where the API is now."""
        return self.members["webserver"].url

    def start(self, service: str) -> Member:
        """Start one more process of a service; return when it is ready."""
        member = Member(service, self._folder, self._arguments, self._environment)
        self.retired.append(member)  # so that it is killed at the end whatever happens
        member.await_ready()
        self.retired.remove(member)
        return member

    def switch(self, fresh: Member) -> Member:
        """Put a new process in the place of the old one, which gets no new requests; return the old one."""
        old, self.members[fresh.service] = self.members[fresh.service], fresh
        self.retired.append(old)
        return old

    def __enter__(self) -> Self:
        migrated = subprocess.run(
            [*COMMAND, "migrate", *self._arguments],
            env={**os.environ, **self._environment}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert 0 == migrated.returncode, migrated.stderr
        began = [(name, Member(name, self._folder, self._arguments, self._environment)) for name in SERVICES]
        self.members = dict(began)
        try:
            for member in self.members.values():
                member.await_ready()
        except BaseException:  # Ctrl-C too: no process that was started may stay
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for member in (*self.members.values(), *self.retired):
            member.process.kill()
            member.process.wait()
