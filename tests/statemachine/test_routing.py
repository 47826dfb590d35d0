"""Which workers get a task, and what happens when there are none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.statemachine.flows import flow, group, task
from tests.statemachine.machine import EXECUTION, Machine
from tiercel.executor.core.facts import Lanes
from tiercel.flowspec.parse import check_flow
from tiercel.messages.execution_event import JobReturned, KillRequested, TaskFinished, WorkerLost
from tiercel.model.lane import served
from tiercel.model.state import State
from tiercel.worker.settings import WorkerSettings


def selector(*tags: str, **more: str) -> dict[str, Any]:
    return {"tags": list(tags), **more}


def run(text: str, *lanes: str, known: bool = True) -> Machine:
    machine = Machine(text)
    machine.lanes = Lanes(frozenset({"default", *lanes}), is_whole=known)
    return machine.create()


def test_the_nearest_selector_chooses() -> None:
    """That of the task, else of a flowable around it, else of the flow; without any every worker will do."""
    text = flow(
        task("a", workerSelector=selector("gpu")),
        group("Sequential", "s", "b", workerSelector=selector("eu")),
        "c",
        workerSelector=selector("fast"),
    )

    assert ["gpu", "eu", "fast"] == run(text, "gpu", "eu", "fast").run().sent_to
    assert ["default"] == run(flow("a")).sent_to


def test_all_tags_are_asked_for_together_and_any_of_them_one_by_one() -> None:
    """`ALL` is what a selector means; with `ANY` the first tag that a worker has is taken."""
    both = flow(task("a", workerSelector=selector("gpu", "eu")))
    either = flow(task("a", workerSelector=selector("gpu", "eu", match="ANY")))

    assert ["eu+gpu"] == run(both, *served(["gpu", "eu", "fast"])).sent_to
    assert State.FAILED == run(both, "gpu", "eu").state
    assert ["eu"] == run(either, "eu").sent_to


@pytest.mark.parametrize(
    ("fallback", "state", "lanes"),
    [
        (None, State.FAILED, []),
        ("FAIL", State.FAILED, []),
        ("WAIT", State.RUNNING, ["gpu"]),
        ("IGNORE", State.RUNNING, ["default"]),
        ("CANCEL", State.CANCELLED, []),
    ],
)
def test_without_a_worker_the_fallback_decides(fallback: str | None, state: State, lanes: list[str]) -> None:
    """By default the task fails, with a sentence that names what it asks for."""
    more = {"fallback": fallback} if fallback is not None else {}
    machine = run(flow(task("a", workerSelector=selector("gpu", **more)), "b"))

    assert (state, lanes) == (machine.state, machine.sent_to)
    assert (state is State.FAILED) is any("'gpu'" in line for line in machine.logs)


@pytest.mark.parametrize(
    ("group", "lanes", "state", "sent_to"),
    [
        ({"key": "gpu"}, ["gpu"], State.SUCCESS, ["gpu"]),
        ({"key": "{{ vars.place }}"}, ["eu"], State.SUCCESS, ["eu"]),
        ({"key": "gpu"}, [], State.RUNNING, ["gpu"]),
        ({"key": "gpu", "fallback": "FAIL"}, [], State.FAILED, []),
        ({"key": "gpu", "fallback": "CANCEL"}, [], State.CANCELLED, []),
    ],
)
def test_a_worker_group_of_older_flows_is_a_tag(
    group: dict[str, Any], lanes: list[str], state: State, sent_to: list[str]
) -> None:
    """Its key may be an expression; without a worker it waits unless its fallback says otherwise."""
    text = flow(task("a", workerGroup=group), variables={"place": "eu"})

    machine = run(text, *lanes)
    if lanes:
        machine.run()

    assert not check_flow(text).problems

    assert (state, sent_to) == (machine.state, machine.sent_to)


@pytest.mark.parametrize(("fallback", "state"), [("FAIL", State.FAILED), ("CANCEL", State.CANCELLED)])
def test_an_executor_that_does_not_know_the_workers_judges_later(fallback: str, state: State) -> None:
    """It has just begun to listen: the job waits until it knows that nobody is there."""
    machine = run(flow(task("a", workerSelector=selector("gpu", fallback=fallback))), known=False).pass_time(5)
    assert (State.RUNNING, []) == (machine.state, machine.sent_to)

    machine.lanes = Lanes(frozenset({"default"}))

    assert (state, []) == (machine.pass_time(2).state, machine.sent_to)


def test_an_executor_that_does_not_know_all_workers_sends_to_those_that_it_has_heard() -> None:
    """A worker that is there is there, and one that comes within the first seconds gets what waited for it."""
    text = flow(task("a", workerSelector=selector("gpu")))
    late = run(text, known=False)
    late.lanes = Lanes(frozenset({"gpu"}), is_whole=False)

    assert ["gpu"] == run(text, "gpu", known=False).sent_to
    assert ["gpu"] == late.pass_time(2).sent_to


def test_a_task_run_that_waits_to_know_can_be_killed() -> None:
    """Nothing of it is with a worker: it ends at once."""
    machine = run(flow(task("a", workerSelector=selector("gpu"))), known=False)
    machine.step(KillRequested(execution_id=EXECUTION, at=machine.now))

    assert State.KILLED == machine.pass_time(2).state
    assert [] == machine.sent_to


def began_and_lost(fallback: str, lanes: Lanes) -> Machine:
    """Let the only worker of a tag begin a job and die."""
    machine = run(flow(task("a", workerSelector=selector("gpu", fallback=fallback))), "gpu")
    job = machine.jobs.popleft()
    machine.start(job)
    machine.lanes = lanes
    machine.step(WorkerLost(execution_id=EXECUTION, at=machine.now, seq=job.seq, attempt=1, worker="w1"))
    return machine


@pytest.mark.parametrize(
    ("fallback", "state", "lanes"),
    [
        ("FAIL", State.FAILED, ["gpu"]),
        ("WAIT", State.RUNNING, ["gpu", "gpu"]),
        ("IGNORE", State.RUNNING, ["gpu", "default"]),
        ("CANCEL", State.CANCELLED, ["gpu"]),
    ],
)
def test_the_fallback_decides_when_the_last_worker_was_lost(fallback: str, state: State, lanes: list[str]) -> None:
    """A job that is sent again is judged as one that is sent first."""
    machine = began_and_lost(fallback, Lanes(frozenset({"default"})))

    assert (state, lanes) == (machine.state, machine.sent_to)
    assert (state is State.FAILED) is any("'gpu'" in line for line in machine.logs)


def test_a_job_whose_worker_was_lost_waits_until_the_workers_are_known() -> None:
    """What the lost worker tells meanwhile counts no more; then the job is sent, once."""
    machine = began_and_lost("FAIL", Lanes(frozenset({"default"}), is_whole=False)).pass_time(5)
    machine.step(
        TaskFinished(execution_id=EXECUTION, at=machine.now, seq=0, attempt=1, worker="w1", state=State.FAILED)
    )
    assert (State.RUNNING, ["gpu"]) == (machine.state, machine.sent_to)

    machine.lanes = Lanes(frozenset({"gpu"}), is_whole=False)
    machine.pass_time(10)

    assert ["gpu", "gpu"] == machine.sent_to
    assert State.SUCCESS == machine.run().state
    assert [State.RESUBMITTED, State.SUCCESS] == [attempt.state for attempt in machine.rows[0].run.attempts]


def test_a_job_that_its_last_worker_hands_back_waits_until_the_workers_are_known() -> None:
    """Also when that it has the job is told after that it has it no more."""
    machine = run(flow(task("a", workerSelector=selector("gpu"))), "gpu")
    job = machine.jobs.popleft()
    machine.step(JobReturned(execution_id=EXECUTION, at=machine.now, seq=0, attempt=1, worker="w1"))
    machine.lanes = Lanes(frozenset({"default"}), is_whole=False)
    machine.start(job)
    assert (State.RUNNING, ["gpu"]) == (machine.pass_time(5).state, machine.sent_to)

    machine.lanes = Lanes(frozenset({"default"}))

    assert (State.FAILED, ["gpu"]) == (machine.pass_time(2).state, machine.sent_to)


def test_a_job_that_waits_to_be_sent_again_can_be_killed() -> None:
    """No worker has it: it ends at once."""
    machine = began_and_lost("FAIL", Lanes(frozenset({"default"}), is_whole=False))
    machine.step(KillRequested(execution_id=EXECUTION, at=machine.now))

    assert (State.KILLED, ["gpu"]) == (machine.pass_time(2).state, machine.sent_to)


def test_a_worker_serves_its_tags_and_their_combinations() -> None:
    """With many tags only single ones, pairs, and all of them."""
    assert ("default", "a", "b", "a+b") == WorkerSettings(tags=("b", "a")).lanes
    assert ("a",) == WorkerSettings(tags=("a",), only_tags=True).lanes
    many = served([f"t{number}" for number in range(10)])
    assert 10 + 45 + 1 == len(many)
