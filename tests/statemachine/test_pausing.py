"""Pause: what a person, a clock or a kill does to a task that waits, and to an execution that is told to."""

from __future__ import annotations

import pytest

from tests.statemachine.flows import flow, group, task
from tests.statemachine.machine import EXECUTION, Machine
from tiercel.messages import execution_event as events
from tiercel.model.state import State

PAUSE = {"id": "p", "type": "io.kestra.plugin.core.flow.Pause"}


def test_a_pause_waits_for_a_resume() -> None:
    """The execution is PAUSED until somebody resumes it."""
    machine = Machine(flow("a", PAUSE, "b")).create().run()

    assert State.PAUSED == machine.state

    machine.step(events.ResumeRequested(execution_id=EXECUTION, at=machine.now))
    machine.run()

    assert State.SUCCESS == machine.state
    assert [("a", "SUCCESS"), ("p", "SUCCESS"), ("b", "SUCCESS")] == machine.states()


def test_a_pause_ends_by_itself_after_its_duration() -> None:
    """`pauseDuration` resumes; nobody is needed."""
    machine = Machine(flow({**PAUSE, "pauseDuration": "PT1M"}, "b")).create()

    machine.pass_time(59)
    assert State.PAUSED == machine.state

    machine.pass_time(2)
    assert State.SUCCESS == machine.run().state


@pytest.mark.parametrize("length", [{"timeout": "PT1M"}, {"pauseDuration": "PT1M", "behavior": "FAIL"}])
def test_a_pause_that_fails_runs_its_errors(length: dict[str, str]) -> None:
    """Errors and finally of a Pause run when its time is over and that is a failure; its own tasks do not."""
    inner = {"tasks": [task("c")], "errors": [task("e")], "finally": [task("z")]}
    machine = Machine(flow({**PAUSE, **length, **inner}, "b")).create().pass_time(61).run()

    assert [("p", "FAILED"), ("e", "SUCCESS"), ("z", "SUCCESS")] == machine.states()
    assert "The pause was not resumed in time." == machine.rows[machine.seq_of("p")].run.error
    assert State.FAILED == machine.state


def test_a_pause_with_a_timeout_fails_when_nobody_resumes() -> None:
    """`timeout` alone ends the task FAILED."""
    machine = Machine(flow({**PAUSE, "timeout": "PT1M"}, "b")).create().pass_time(61)

    assert State.FAILED == machine.state


def test_a_pause_that_cancels_ends_cancelled_itself() -> None:
    """`behavior: CANCEL` ends the pause and its execution CANCELLED; what runs beside it is killed."""
    machine = Machine(flow(group("Parallel", "g", {**PAUSE, "pauseDuration": "PT1M", "behavior": "CANCEL"}, "a"), "b"))
    machine.create()
    job = machine.jobs.popleft()
    machine.start(job)

    machine.pass_time(61)
    machine.finish(job, State.KILLED)

    assert [("g", "CANCELLED"), ("p", "CANCELLED"), ("a", "KILLED")] == machine.states()
    assert State.CANCELLED == machine.state


def test_a_pause_that_is_killed_has_one_attempt() -> None:
    """The kill ends the attempt that waits, and begins no other."""
    machine = Machine(flow(PAUSE)).create()

    machine.step(events.KillRequested(execution_id=EXECUTION, at=machine.now))

    assert [State.KILLED] == [attempt.state for attempt in machine.rows[0].run.attempts]
    assert State.KILLED == machine.state


def test_a_paused_execution_lets_running_tasks_end_and_starts_no_others() -> None:
    """A person's pause holds everything; a resume lets it go on where it was."""
    machine = Machine(flow("a", "b")).create()
    job = machine.jobs.popleft()
    machine.start(job)
    machine.step(events.PauseRequested(execution_id=EXECUTION, at=machine.now))
    machine.finish(job)

    assert State.PAUSED == machine.state
    assert not machine.jobs

    machine.reload().step(events.ResumeRequested(execution_id=EXECUTION, at=machine.now))

    assert State.SUCCESS == machine.run().state


def test_a_kill_waits_for_the_task_of_a_pause_that_still_runs() -> None:
    """What its `onPause` gives is taken although the pause is over."""
    machine = Machine(flow({**PAUSE, "onPause": task("told")}, "b")).create()
    job = machine.jobs.popleft()
    machine.start(job)

    machine.step(events.KillRequested(execution_id=EXECUTION, at=machine.now))
    assert [("p", "KILLING"), ("told", "KILLING")] == machine.states()
    machine.finish(job, State.SUCCESS, {"value": 1})

    assert State.KILLED == machine.state
    assert [("p", "KILLED"), ("told", "SUCCESS")] == machine.states()


@pytest.mark.parametrize("further", [{"finally": [task("x")]}, {"onPause": task("x")}])
def test_a_resume_is_for_a_pause_that_still_waits(further: dict[str, object]) -> None:
    """One that was resumed and has tasks that still run counts no more."""
    machine = Machine(flow(group("Parallel", "g", {**PAUSE, **further}, {**PAUSE, "id": "q"}), "b")).create()

    for _ in range(2):
        machine.step(events.ResumeRequested(execution_id=EXECUTION, at=machine.now))

    assert [State.RUNNING, State.SUCCESS] == [machine.rows[machine.seq_of(name)].run.state for name in ("p", "q")]
    assert State.SUCCESS == machine.run().state


@pytest.mark.parametrize(
    ("behavior", "state"),
    [("RESUME", State.SUCCESS), ("WARN", State.WARNING), ("FAIL", State.FAILED), ("CANCEL", State.CANCELLED)],
)
def test_a_pause_whose_time_is_over_waits_for_its_task_that_still_runs(behavior: str, state: State) -> None:
    """The execution ends when that task has, which had success."""
    pause = {**PAUSE, "pauseDuration": "PT5S", "behavior": behavior, "onPause": task("told")}
    machine = Machine(flow(pause)).create()
    job = machine.jobs.popleft()
    machine.start(job)
    machine.pass_time(6)
    assert not machine.state.is_terminated

    machine.finish(job, State.SUCCESS, {"value": 1})

    assert state == machine.state
    assert [("p", str(state)), ("told", "SUCCESS")] == machine.states()
