"""A restarted execution of a flow with a concurrency limit needs a slot like a new one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from tests.integration.workshop import Workshop
from tests.statemachine.flows import flow
from tiercel.messages.execution_event import KillRequested, RestartRequested
from tiercel.messages.worker_job import TaskJob
from tiercel.model.state import State


class Hands:
    """A worker that fails what it is told to, and rests when it is told to."""

    def __init__(self, workshop: Workshop, behavior: str) -> None:
        self.workshop = workshop
        self.text = flow("a", "b", concurrency={"limit": 1, "behavior": behavior})
        self.fails = {"first"}
        self.start()

    def start(self) -> None:
        self._worker = asyncio.create_task(self.workshop.work(self._answer))

    async def rest(self) -> None:
        """Return when nothing is claimed any more."""
        self._worker.cancel()
        await asyncio.gather(self._worker, return_exceptions=True)

    def _answer(self, job: TaskJob) -> State:
        return State.FAILED if job.execution_id in self.fails and job.task_id == "b" else State.SUCCESS

    async def first_failed(self) -> int:
        """Let an execution fail, and another one take the slot; return the version of the first."""
        await self.workshop.deploy(self.text)
        await self.workshop.create("first")
        failed = await self.workshop.ended("first")
        assert State.FAILED is failed.state
        await self.rest()
        await self.workshop.create("second")
        await self.state_of("second", State.RUNNING)
        self.fails.clear()
        await self.workshop.send(RestartRequested(execution_id="first", at=datetime.now(UTC)))
        return failed.version

    async def state_of(self, execution_id: str, state: State) -> None:
        async def has_it() -> bool:
            found = await self.workshop.execution(execution_id)
            return found is not None and found.state is state

        await self.workshop.until(has_it)


async def test_a_restart_waits_for_a_slot(workshop: Workshop) -> None:
    """With QUEUE it stands in the line, and runs what had failed when its turn comes."""
    hands = Hands(workshop, "QUEUE")
    async with workshop.executor():
        version = await hands.first_failed()
        await hands.state_of("first", State.QUEUED)
        hands.start()
        second = await workshop.ended("second")
        first = await workshop.ended("first", version)
        await hands.rest()

    assert (State.SUCCESS, State.SUCCESS) == (first.state, second.state)
    assert [State.FAILED, State.RESTARTED, State.QUEUED, State.RUNNING, State.SUCCESS] == [
        change.state for change in first.history[-5:]
    ]
    assert first.history[-2].date >= second.history[-1].date
    assert ["a", "b", "a", "b", "b"] == [job.task_id for job in workshop.claimed]


@pytest.mark.parametrize(("behavior", "state"), [("CANCEL", State.CANCELLED), ("FAIL", State.FAILED)])
async def test_a_restart_that_may_not_wait_ends(workshop: Workshop, behavior: str, state: State) -> None:
    """With CANCEL or FAIL it is over again, and nothing of it has run; a later restart is possible."""
    hands = Hands(workshop, behavior)
    async with workshop.executor():
        version = await hands.first_failed()
        refused = await workshop.ended("first", version)
        hands.start()
        await workshop.ended("second")
        await workshop.send(RestartRequested(execution_id="first", at=datetime.now(UTC)))
        again = await workshop.ended("first", refused.version)
        await hands.rest()

    assert [State.RESTARTED, state] == [change.state for change in refused.history[-2:]]
    assert State.SUCCESS is again.state
    assert {State.SUCCESS} == {run_state for *_, run_state in await workshop.runs("first")}


async def test_a_restart_that_waits_can_be_killed(workshop: Workshop) -> None:
    """It leaves the line, and what had failed stays as it was."""
    hands = Hands(workshop, "QUEUE")
    async with workshop.executor():
        version = await hands.first_failed()
        await hands.state_of("first", State.QUEUED)
        await workshop.send(KillRequested(execution_id="first", at=datetime.now(UTC)))
        first = await workshop.ended("first", version)
        hands.start()
        await workshop.ended("second")
        await workshop.create("third")
        third = await workshop.ended("third")
        await hands.rest()

    assert (State.KILLED, State.SUCCESS) == (first.state, third.state)
    assert [State.SUCCESS, State.FAILED] == [state for *_, state in await workshop.runs("first")]
