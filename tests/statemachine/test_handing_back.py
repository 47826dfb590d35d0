"""Jobs that a worker has and does not run: it hands them back, or cannot read them; in whatever order that is told."""

from __future__ import annotations

import msgspec
import pytest

from tests.statemachine.flows import flow, task
from tests.statemachine.machine import EXECUTION, Machine
from tiercel.messages import execution_event as events
from tiercel.messages.worker_job import TaskJob
from tiercel.model.state import State


def hand_back(machine: Machine, job: TaskJob, worker: str = "w1") -> None:
    machine.step(
        events.JobReturned(execution_id=EXECUTION, at=machine.now, seq=job.seq, attempt=job.attempt, worker=worker)
    )


def refuse(machine: Machine, job: TaskJob) -> None:
    reason = "It cannot be decoded."
    machine.step(
        events.JobRefused(execution_id=EXECUTION, at=machine.now, seq=job.seq, attempt=job.attempt, reason=reason)
    )


@pytest.mark.parametrize("returned_first", [False, True])
def test_a_job_that_was_handed_back_is_given_to_another_worker(returned_first: bool) -> None:
    """As the same attempt, once both its start and its return are told; nobody is told to kill it."""
    machine = Machine(flow("a")).create()
    job = machine.jobs.popleft()
    told = [lambda: machine.start(job), lambda: hand_back(machine, job)]

    for tell in reversed(told) if returned_first else told:
        assert not machine.jobs
        tell()
        machine.reload()

    again = machine.jobs.popleft()
    assert (job.seq, job.attempt) == (again.seq, again.attempt)
    machine.start(again, "w2")
    machine.finish(again, worker="w2")
    assert State.SUCCESS == machine.state
    assert 1 == len(machine.rows[job.seq].run.attempts)
    assert not machine.broadcasts
    assert machine.head is not None
    assert 0 == machine.head.waiting


def test_a_job_may_come_to_the_worker_that_has_handed_it_back_before() -> None:
    """The second start is not taken for the first one."""
    machine = Machine(flow("a")).create()
    first = machine.jobs.popleft()
    hand_back(machine, first)
    machine.start(first)

    machine.run()

    assert State.SUCCESS == machine.state
    assert 1 == len(machine.sent_to) - 1


@pytest.mark.parametrize("returned_first", [False, True])
@pytest.mark.parametrize("is_started_again", [False, True])
def test_a_return_that_is_told_twice_gives_the_job_to_one_worker(returned_first: bool, is_started_again: bool) -> None:
    """It may have the job again when the second telling comes: nobody else gets it meanwhile."""
    machine = Machine(flow("a")).create()
    job = machine.jobs.popleft()
    told = [lambda: machine.start(job), lambda: hand_back(machine, job)]
    for tell in reversed(told) if returned_first else told:
        tell()
    again = machine.jobs.popleft()

    if is_started_again:
        machine.start(again)
    hand_back(machine, job)
    machine.reload()
    if not is_started_again:
        machine.start(again)

    assert not machine.jobs
    machine.pass_time(1)
    hand_back(machine, again)  # another one, of the second job
    assert [again] == [msgspec.structs.replace(each, sent_at=again.sent_at) for each in machine.jobs]


def test_a_return_of_an_attempt_that_is_over_changes_nothing() -> None:
    """Another attempt, another worker, or an end that was told before."""
    machine = Machine(flow("a")).create()
    job = machine.jobs.popleft()
    machine.start(job)

    hand_back(machine, job, "w2")
    machine.finish(job)
    hand_back(machine, job)

    assert State.SUCCESS == machine.state
    assert not machine.jobs


def test_a_job_that_was_handed_back_while_it_is_killed_ends_at_once() -> None:
    """Its worker will not answer the kill: it does not have the job any more."""
    machine = Machine(flow("a")).create()
    job = machine.jobs.popleft()
    machine.start(job)
    machine.step(events.KillRequested(execution_id=EXECUTION, at=machine.now))

    hand_back(machine, job)

    assert State.KILLED == machine.state
    assert not machine.jobs


def test_a_return_that_is_noted_does_not_outlive_a_kill() -> None:
    """The start that comes after it starts nothing."""
    machine = Machine(flow("a")).create()
    job = machine.jobs.popleft()
    hand_back(machine, job)
    machine.step(events.KillRequested(execution_id=EXECUTION, at=machine.now))

    machine.start(job)

    assert State.KILLED == machine.state
    assert not machine.jobs


@pytest.mark.parametrize("is_started", [False, True])
def test_a_job_that_its_worker_cannot_read_fails_its_task_run(is_started: bool) -> None:
    """Whether its start was told before or is told after it; what comes too late changes nothing."""
    machine = Machine(flow(task("a", allowFailure=True), "b")).create()
    job = machine.jobs.popleft()
    if is_started:
        machine.start(job)

    refuse(machine, job)
    refuse(machine, job)
    machine.start(job)
    machine.run()

    assert [("a", "WARNING"), ("b", "SUCCESS")] == machine.states()
    assert "It cannot be decoded." == machine.rows[job.seq].run.error


def test_a_job_that_its_worker_cannot_read_ends_when_it_is_killed() -> None:
    """It never ran: nobody else answers the kill."""
    machine = Machine(flow("a")).create()
    job = machine.jobs.popleft()
    machine.start(job)
    machine.step(events.KillRequested(execution_id=EXECUTION, at=machine.now))

    refuse(machine, job)

    assert State.KILLED == machine.state
