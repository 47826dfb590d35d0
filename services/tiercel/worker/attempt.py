"""
One task, run once: its timeout, its killing, and what every way of ending means.

A run is stopped from outside by `stop`: the task's own actions are called first (a process is killed), then its
coroutine is cancelled. A task that goes on all the same is left behind by whoever waits for it.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

import msgspec

from tiercel.errors import TaskFailed, TiercelError
from tiercel.model.duration import format_duration
from tiercel.model.state import State
from tiercel.plugins import thread
from tiercel.plugins.base import RunnableTask, TaskResult
from tiercel.worker.context import TaskContext

MESSAGE_SIZE_MAX: Final = 16_384
"""Characters of the sentence that says why a task failed."""


class Stop(StrEnum):
    """Why a run is stopped from outside."""

    KILLED = "killed"
    TIMEOUT = "timeout"
    LOST = "lost"
    """The worker ends, or was silent for so long that others run the task again."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended."""

    state: State
    outputs: Mapping[str, Any] | None = None
    error: str | None = None
    exception: BaseException | None = None
    lost: bool = False
    timed_out: bool = False


class Run:
    """One task at work with its context."""

    __slots__ = ("_asyncio_task", "_stop", "_timeout", "_timer", "context", "task")

    def __init__(self, task: RunnableTask, context: TaskContext) -> None:
        self.task = task
        self.context = context
        self._stop: Stop | None = None
        self._asyncio_task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timeout: timedelta | None = None

    def stop(self, reason: Stop) -> None:
        """End the run; the first reason counts."""
        if self._stop is None:
            self._stop = reason
            self.context.kill()
            if self._asyncio_task is not None:
                self._asyncio_task.cancel()

    async def outcome(self) -> Outcome:
        """Run the task to its end and say how it ended; only a cancellation that nobody asked for is raised."""
        if self._stop is not None:
            return stopped(self._stop, self._timeout)
        current = self._asyncio_task = asyncio.current_task()
        try:
            if self.task.timeout is not None:
                await self._arm()
            outcome = await _perform(self.task, self.context)
        except asyncio.CancelledError as error:
            if self._stop is None:
                raise
            if current is not None:
                current.uncancel()
            if self._stop is Stop.TIMEOUT:
                self._tell_place(error)
            outcome = stopped(self._stop, self._timeout)
        except Exception as error:  # the one place where whatever a task raises becomes its failure
            outcome = _failed(error, self.context)
            if self._stop is not None:
                outcome = msgspec.structs.replace(stopped(self._stop, self._timeout), outputs=outcome.outputs)
        finally:
            self._asyncio_task = None
            if self._timer is not None:
                self._timer.cancel()
        if outcome.error is not None:
            outcome = msgspec.structs.replace(outcome, error=_shown(outcome.error, self.context))
            self.context.log("ERROR", outcome.error or "")
        return outcome

    def _tell_place(self, error: asyncio.CancelledError) -> None:
        """Log where the task was when its time was up, at the level that places of failures have."""
        place = "".join(traceback.format_tb(error.__traceback__))
        self.context.log("TRACE", f"Timeout: the task was stopped at\n{place}")

    async def _arm(self) -> None:
        self._timeout = await self.context.render(self.task.timeout, timedelta)
        if self._timeout is not None:
            seconds = self._timeout.total_seconds()
            if seconds < 0:
                raise TaskFailed(f"The timeout must not be negative, but is {format_duration(self._timeout)}.")
            self._timer = asyncio.get_running_loop().call_later(seconds, self.stop, Stop.TIMEOUT)


def stopped(reason: Stop, timeout: timedelta | None = None) -> Outcome:
    """Return the outcome of a run that was stopped."""
    if reason is Stop.TIMEOUT:
        text = format_duration(timeout) if timeout is not None else "its timeout"
        return Outcome(
            state=State.FAILED, error=f"Timeout after {text}: the task took longer than it may.", timed_out=True
        )
    return Outcome(state=State.KILLED, lost=reason is Stop.LOST)


async def _perform(task: RunnableTask, context: TaskContext) -> Outcome:
    result = await (_in_thread(task, context) if task.BLOCKING else task.run(context))
    if isinstance(result, TaskResult):
        return Outcome(state=result.state, outputs=result.outputs)
    return Outcome(state=State.SUCCESS, outputs=result)


def _failed(error: Exception, context: TaskContext) -> Outcome:
    outputs = error.outputs if isinstance(error, TaskFailed) else None
    if isinstance(error, TiercelError):
        message = str(error) or type(error).__name__
    else:
        message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        context.log("TRACE", "".join(traceback.format_exception(error)))
    return Outcome(state=State.FAILED, outputs=outputs, error=message, exception=error)


def _shown(message: str, context: TaskContext) -> str:
    if len(message) > MESSAGE_SIZE_MAX:
        message = f"{message[:MESSAGE_SIZE_MAX]}…"
    return context.mask.apply(message)


async def _in_thread(task: RunnableTask, context: TaskContext) -> Any:
    """Run a task that would hold the loop in a thread and an event loop of its own."""
    return await thread.run(lambda: asyncio.run(task.run(context)), f"task-{context.task_run_id}")
