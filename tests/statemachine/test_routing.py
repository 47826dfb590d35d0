"""Which workers get a task, and what happens when there are none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.statemachine.flows import flow, group, task
from tests.statemachine.machine import EXECUTION, Machine
from tiercel.messages.execution_event import WorkerLost
from tiercel.model.lane import served
from tiercel.model.state import State
from tiercel.worker.settings import WorkerSettings


def selector(*tags: str, **more: str) -> dict[str, Any]:
    return {"tags": list(tags), **more}


def run(text: str, *lanes: str, known: bool = True) -> Machine:
    machine = Machine(text)
    machine.lanes = frozenset({"default", *lanes}) if known else None
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


def test_an_executor_that_does_not_know_the_workers_lets_the_job_wait() -> None:
    """It has just begun to listen: nobody is judged."""
    assert ["gpu"] == run(flow(task("a", workerSelector=selector("gpu"))), known=False).sent_to


def test_a_job_whose_worker_was_lost_waits_for_the_next_one() -> None:
    """It has begun: the absence of a worker does not fail it any more."""
    machine = run(flow(task("a", workerSelector=selector("gpu"))), "gpu")
    job = machine.jobs.popleft()
    machine.start(job)
    machine.lanes = frozenset({"default"})
    machine.step(WorkerLost(execution_id=EXECUTION, at=machine.now, seq=job.seq, attempt=1, worker="w1"))

    assert ["gpu", "gpu"] == machine.sent_to


def test_a_worker_serves_its_tags_and_their_combinations() -> None:
    """With many tags only single ones, pairs, and all of them."""
    assert ("default", "a", "b", "a+b") == WorkerSettings(tags=("b", "a")).lanes
    assert ("a",) == WorkerSettings(tags=("a",), only_tags=True).lanes
    many = served([f"t{number}" for number in range(10)])
    assert 10 + 45 + 1 == len(many)
