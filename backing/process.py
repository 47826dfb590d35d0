"""
A backing service as a child process: with a folder and a port of its own, it ends with us, however we end.

Tests may stop it, kill it, pause it and start it again at the same address.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self

from tiercel.errors import Unavailable
from tiercel.runtime.kinship import end_with_parent

START_TIMEOUT_S: Final = 90.0
"""Recovery after a kill on a busy machine; a usual start takes seconds."""
STOP_TIMEOUT_S: Final = 30.0
"""A broker writes down what it has, and then is killed."""
POLL_S: Final = 0.02
"""Between two looks into the log for the word that it is ready."""
PORTS: Final = range(20_000, 32_000)
"""Below the ports that the kernel gives to clients, where a stopped server's port would be taken by the next one."""
_spawner = ThreadPoolExecutor(1, thread_name_prefix="backing-services")
"""A child is told of the end of the *thread* that started it: this one lives as long as the process."""


class BackingProcess(ABC):
    """`with` starts it, waits until it can be used, and stops it. What it says goes to `log_file`."""

    name: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.port = free_port()
        self.ready_s = 0.0
        """How long the last start took."""
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False

    @property
    def log_file(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        """The process, None when it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start it; return when it can be used."""
        assert self.pid is None, f"{self.name} runs already."
        self.folder.mkdir(parents=True, exist_ok=True)
        command, environment = self._command()
        began = time.monotonic()
        log_begin = self.log_file.stat().st_size if self.log_file.exists() else 0
        self._process = _spawner.submit(self._spawn, command, environment).result()
        while not self._is_ready(log_begin):
            if self.pid is None or time.monotonic() - began > START_TIMEOUT_S:
                self.kill()
                tail = "\n".join(self.log_file.read_text(errors="replace").splitlines()[-20:])
                raise Unavailable(f"{self.name} did not start; the end of '{self.log_file}':\n{tail}")
            time.sleep(POLL_S)  # a program says only in its log that it is ready
        self.ready_s = time.monotonic() - began

    def stop(self) -> None:
        """End it as an operator would."""
        self.resume()
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)  # a broker flushes first; then it is killed
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process, self._paused = None, False

    def pause(self) -> None:
        """Let it hang: it keeps its connections and answers nothing."""
        assert self.pid is not None, f"{self.name} does not run."
        os.kill(self.pid, signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        """Let it go on after `pause`."""
        if self._paused and self.pid is not None:
            os.kill(self.pid, signal.SIGCONT)
        self._paused = False

    def restart(self, *, immediately: bool = False) -> None:
        """Stop it (as a power cut would, when `immediately`) and start it at the same address."""
        if immediately:
            self.kill()
        else:
            self.stop()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def _command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        """Return what to run, with which variables beside our own."""

    @abstractmethod
    def _is_ready(self, log_begin: int) -> bool:
        """Tell whether it can be used; its log of this start begins at `log_begin`."""

    def _spawn(self, command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with self.log_file.open("ab") as output:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **environment},
                start_new_session=True,  # Ctrl-C in a terminal is for us; we stop our services last
                preexec_fn=end_with_parent,
            )


def free_port() -> int:
    """Return a port that nobody listens on."""
    for port in random.sample(PORTS, k=len(PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Unavailable(f"No port from {PORTS.start} to {PORTS.stop} is free.")
