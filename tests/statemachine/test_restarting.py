"""Restart and replay: which task runs stay, and which are run again."""

from __future__ import annotations

from tests.statemachine.flows import flow, group, task
from tests.statemachine.machine import EXECUTION, Machine
from tiercel.messages import execution_event as events
from tiercel.messages.worker_job import TaskJob
from tiercel.model.state import State


def test_a_restart_runs_the_failed_task_again_in_place() -> None:
    """Ended task runs stay, the failed one and its parents open, errors are run anew."""
    text = flow("a", group("Sequential", "g", "x", "y"), "z", errors=[task("e")])
    machine = Machine(text).create().run(lambda job: State.FAILED if job.task_id == "y" else State.SUCCESS)

    assert State.FAILED == machine.state

    machine.reload().step(events.RestartRequested(execution_id=EXECUTION, at=machine.now))
    machine.run()

    assert State.SUCCESS == machine.state
    assert [
        ("a", "SUCCESS"),
        ("g", "SUCCESS"),
        ("x", "SUCCESS"),
        ("y", "SUCCESS"),
        ("z", "SUCCESS"),
    ] == machine.states()
    assert State.RESTARTED in machine.history


def test_a_result_from_before_a_restart_is_refused() -> None:
    """A late report of an earlier attempt does not end the new one."""
    machine = Machine(flow("a")).create()
    job: TaskJob = machine.jobs.popleft()
    machine.start(job)
    machine.finish(job, State.FAILED)
    machine.step(events.RestartRequested(execution_id=EXECUTION, at=machine.now))

    machine.finish(job, State.SUCCESS)

    assert State.RUNNING == machine.state


def test_a_restart_of_a_loop_runs_only_what_failed() -> None:
    """Values that had ended are not run again, and the rest of the loop is."""
    text = flow(group("ForEach", "each", "x", values=["a", "b", "c"]), "last")
    machine = Machine(text).create().run(lambda job: State.FAILED if job.value == "b" else State.SUCCESS)
    machine.reload().step(events.RestartRequested(execution_id=EXECUTION, at=machine.now))
    ran: list[str | None] = []

    def answer(job: TaskJob) -> State:
        ran.append(job.value)
        return State.SUCCESS

    machine.run(answer)

    assert ["b", "c", None] == ran
    assert State.SUCCESS == machine.state


def test_a_replay_takes_over_what_came_before_the_task() -> None:
    """The new execution has copies of earlier runs, with ids of their own, and runs the task and what follows."""
    machine = Machine(flow("a", "b", "c")).create().run()
    target = machine.rows[1].run.id
    machine.step(events.ReplayRequested(execution_id=EXECUTION, at=machine.now, new_id="new", task_run_id=target))
    [created] = [message for message in machine.messages if isinstance(message, events.CreateExecution)]

    assert ["a", "b"] == [record.run.task_id for record in created.copied_runs]
    assert machine.rows[0].run.id != created.copied_runs[0].run.id

    replayed = Machine(flow("a", "b", "c"))
    replayed.step(created)
    assert ["b"] == [job.task_id for job in replayed.jobs]
    assert ("a", "SUCCESS") == replayed.states()[0]


def test_a_restart_gives_a_loop_its_maximums_anew() -> None:
    """Its time counts from the restart, which its history tells, and its rounds from the first."""
    frequency = {"interval": "PT1S", "maxDuration": "PT3S", "maxIterations": 9}
    text = flow(group("LoopUntil", "loop", "x", condition="false", failOnMaxReached=True, checkFrequency=frequency))
    machine = _pass(Machine(text).create().run(), 8)
    failed_at = machine.rows[0].run.history[-1].date

    machine.reload().step(events.RestartRequested(execution_id=EXECUTION, at=machine.now))
    restarted_at = machine.now
    _pass(machine.run(), 2)

    assert State.RUNNING == machine.state
    assert failed_at < restarted_at

    _pass(machine, 3)

    run = machine.rows[0].run
    assert [State.FAILED, State.RESTARTED, State.RUNNING, State.FAILED] == [each.state for each in run.history[2:]]
    assert 3 == (run.history[-1].date - restarted_at).total_seconds()


def test_a_replay_gives_a_loop_its_maximums_anew() -> None:
    """The new execution runs all of its rounds."""
    frequency = {"interval": "PT1S", "maxIterations": 2}
    text = flow(group("LoopUntil", "loop", "x", condition="false", failOnMaxReached=True, checkFrequency=frequency))
    machine = _pass(Machine(text).create().run(), 3)
    target = machine.rows[0].run.id
    machine.step(events.ReplayRequested(execution_id=EXECUTION, at=machine.now, new_id="new", task_run_id=target))
    [created] = [message for message in machine.messages if isinstance(message, events.CreateExecution)]

    replayed = Machine(text)
    replayed.now = machine.now
    replayed.step(created)

    assert ["x"] == [job.task_id for job in replayed.jobs]
    assert State.RUNNING == _pass(replayed.run(), 0).state
    assert State.FAILED == _pass(replayed, 1).state
    assert State.RESTARTED in [each.state for each in replayed.rows[0].run.history]


def _pass(machine: Machine, seconds: int) -> Machine:
    for _ in range(seconds):
        machine.pass_time(1).run()
    return machine
