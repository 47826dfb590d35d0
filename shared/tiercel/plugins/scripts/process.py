"""
Runs one process of a task: its own process group, its output read as it comes, ended whole when it must end.

A process is started by the C library's fast way (no Python between fork and exec), its end is told by a file
descriptor, and its pipes are read on the event loop: the time that a script takes is the script's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from tiercel.errors import TaskFailed
from tiercel.plugins.base import RunContext
from tiercel.plugins.scripts.protocol import LineReader, Printed
from tiercel.plugins.scripts.supervisor import MARK, SUPERVISOR

CHUNK: Final = 64 * 1024
"""Bytes that are read at a time: what a pipe of Linux holds."""
TERM_GRACE_S: Final = 3.0
"""How long a process that is asked to end may take before it is killed."""
DEATH_S: Final = 30.0
"""How long the end of a killed process is waited for: on a busy machine it takes its time."""
TAIL_GRACE_S: Final = 2.0
"""How long a pipe is read that outlives its process: somebody who left the group holds it."""
TURN_S: Final = 0.01
"""How long a stream is read before others get their turn."""


class Process:
    """One process group at work."""

    def __init__(self, context: RunContext, printed: Printed) -> None:
        self._context = context
        self._printed = printed
        self._loop = asyncio.get_running_loop()
        self._popen: subprocess.Popen[bytes] | None = None
        self._mark = SUPERVISOR.mark()
        self._ended = False
        self._killer: asyncio.TimerHandle | None = None

    async def run(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> int:
        """Run a command to its end and return its exit code; raise TaskFailed when it cannot be started."""
        SUPERVISOR.start()
        self._popen = popen = self._start(command, folder, environment)
        SUPERVISOR.watch(popen.pid)
        self._context.on_kill(self.terminate)
        assert popen.stdout is not None
        assert popen.stderr is not None
        pumps = [
            asyncio.ensure_future(self._pump(popen.stdout, "stdout")),
            asyncio.ensure_future(self._pump(popen.stderr, "stderr")),
        ]
        try:
            await self._exit(popen, pumps)
            await self._finish(pumps)
        except asyncio.CancelledError:
            # Killed or timed out: the group has been asked to end, and is given its grace before it is gone for sure.
            await asyncio.shield(self._ensure_end(popen))
            raise
        finally:
            for pump in pumps:
                pump.cancel()
            self._signal(signal.SIGKILL)
            self._close(popen)
        return popen.returncode if popen.returncode >= 0 else 128 - popen.returncode

    def _start(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                command,
                cwd=folder,
                env={**environment, MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise TaskFailed(f"The program '{command[0]}' is not installed on this worker.") from error
        except (OSError, ValueError) as error:
            raise TaskFailed(f"The program '{command[0]}' cannot be started: {error}.") from error

    async def _exit(self, popen: subprocess.Popen[bytes], pumps: Sequence[asyncio.Future[None]]) -> None:
        """Wait for the process; a stream that cannot be taken in ends the wait with its error."""
        exited = asyncio.ensure_future(self._exited(popen))
        try:
            waiting: set[asyncio.Future[None]] = {exited, *pumps}
            while not exited.done():
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for future in done:
                    future.result()
        finally:
            exited.cancel()

    async def _exited(self, popen: subprocess.Popen[bytes]) -> None:
        descriptor = os.pidfd_open(popen.pid)
        try:
            await _readable(self._loop, descriptor)
        finally:
            os.close(descriptor)
        # Before it is reaped: as long as it is there, nobody else can have its number.
        self._signal(signal.SIGKILL)
        self._ended = True
        popen.wait()

    async def _pump(self, stream: IO[bytes], name: str) -> None:
        descriptor = stream.fileno()
        os.set_blocking(descriptor, False)
        reader = LineReader(self._printed, name)
        turn = self._loop.time()
        while True:
            try:
                data = os.read(descriptor, CHUNK)
            except BlockingIOError:
                await _readable(self._loop, descriptor)
                turn = self._loop.time()
                continue
            if not data:
                break
            reader.feed(data)
            if self._loop.time() - turn > TURN_S:
                await self._context.room()
                await asyncio.sleep(0)  # other tasks of the worker have their turn
                turn = self._loop.time()
        reader.close()

    async def _finish(self, pumps: Sequence[asyncio.Future[None]]) -> None:
        done, pending = await asyncio.wait(pumps, timeout=TAIL_GRACE_S)  # somebody who left the group may hold the pipe
        for pump in done:
            pump.result()
        if pending:
            self._context.log("WARN", "A background process still holds the output of the task; it is ended.")

    def terminate(self) -> None:
        """Ask the group to end, and kill it a moment later."""
        if self._popen is None or self._ended:
            return
        self._signal(signal.SIGTERM)
        self._loop.call_soon_threadsafe(self._arm)

    def _arm(self) -> None:
        if self._killer is None and not self._ended:
            self._killer = self._loop.call_later(TERM_GRACE_S, self._signal, signal.SIGKILL)

    async def _ensure_end(self, popen: subprocess.Popen[bytes]) -> None:
        self.terminate()
        if popen.poll() is None:
            # The terminator kills it by then.
            await asyncio.wait({asyncio.ensure_future(self._exited(popen))}, timeout=TERM_GRACE_S + DEATH_S)

    def _signal(self, number: int) -> None:
        if self._popen is not None and not self._ended:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, number)

    def _close(self, popen: subprocess.Popen[bytes]) -> None:
        if self._killer is not None:
            self._killer.cancel()
        popen.poll()
        self._ended = True
        for stream in (popen.stdout, popen.stderr):
            if stream is not None:
                self._loop.remove_reader(stream.fileno())
                stream.close()
        SUPERVISOR.forget(popen.pid)
        SUPERVISOR.sweep(self._mark)


async def _readable(loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
    """Return when a descriptor can be read."""
    future: asyncio.Future[None] = loop.create_future()

    def ready() -> None:
        if not future.done():
            future.set_result(None)

    loop.add_reader(descriptor, ready)
    try:
        await future
    finally:
        loop.remove_reader(descriptor)
