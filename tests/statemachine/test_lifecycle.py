"""Kill, retry, lost workers: what a person, a clock or an accident does to an execution."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.statemachine.flows import flow, group, task
from tests.statemachine.machine import EXECUTION, Machine
from tiercel.messages import execution_event as events
from tiercel.messages.broadcast import KillRun
from tiercel.model.state import State

PAUSE = {"id": "p", "type": "io.kestra.plugin.core.flow.Pause"}
SUBFLOW = {"id": "s", "type": "io.kestra.plugin.core.flow.Subflow", "namespace": "company.team", "flowId": "child"}


def kill(machine: Machine) -> None:
    machine.step(events.KillRequested(execution_id=EXECUTION, at=machine.now))


def test_killing_waits_for_the_running_task() -> None:
    """A killed execution stays KILLING until its worker answers; what waits is taken back."""
    machine = Machine(flow(group("Parallel", "p", "a", "b"))).create()
    job = machine.jobs.popleft()
    machine.start(job)

    kill(machine)

    assert State.KILLING == machine.state
    assert [KillRun(execution_id=EXECUTION, runs=((1, 1),))] == machine.broadcasts
    assert not machine.jobs

    machine.finish(job, State.KILLED)

    assert State.KILLED == machine.state
    assert [("p", "KILLED"), ("a", "KILLED"), ("b", "KILLED")] == machine.states()


def test_a_result_that_arrives_while_killing_is_kept() -> None:
    """SUCCESS stays SUCCESS; the execution ends KILLED."""
    machine = Machine(flow("a", "b")).create()
    job = machine.jobs.popleft()
    machine.start(job)
    kill(machine)
    machine.finish(job, State.SUCCESS)

    assert [("a", "SUCCESS")] == machine.states()
    assert State.KILLED == machine.state


def test_a_worker_that_never_answers_a_kill_is_given_up_at_the_deadline() -> None:
    """Nothing is stuck: after 30 seconds the run is KILLED without its worker."""
    machine = Machine(flow("a")).create()
    machine.start(machine.jobs.popleft())
    kill(machine)

    machine.pass_time(31)

    assert State.KILLED == machine.state


def test_a_job_that_is_started_after_the_kill_is_killed() -> None:
    """A `started` that comes too late is answered with a kill to that worker."""
    machine = Machine(flow("a")).create()
    job = machine.jobs.popleft()
    kill(machine)

    machine.start(job)

    assert KillRun(execution_id=EXECUTION, seq=0, attempt=1, worker="w1") == machine.broadcasts[-1]
    assert State.KILLED == machine.state


def test_a_job_that_no_worker_can_read_fails_its_task_run() -> None:
    """The task run ends with the reason, as its task allows; what was told too late changes nothing."""
    machine = Machine(flow(task("a", allowFailure=True), "b")).create()
    machine.jobs.popleft()
    refused = events.JobRefused(execution_id=EXECUTION, at=machine.now, seq=0, reason="It cannot be decoded.")

    machine.step(refused)
    machine.step(refused)
    machine.run()

    assert [("a", "WARNING"), ("b", "SUCCESS")] == machine.states()
    assert "It cannot be decoded." == machine.rows[0].run.error
    assert "It cannot be decoded." in machine.logs
    assert machine.head is not None
    assert 0 == machine.head.waiting


def test_a_failed_task_is_tried_again_at_its_interval() -> None:
    """The run waits as RETRYING, keeps its id, and counts the attempt."""
    retry = {"type": "constant", "interval": "PT10S", "maxAttempts": 3}
    machine = Machine(flow(task("a", retry=retry))).create()
    answers = iter([State.FAILED, State.FAILED, State.SUCCESS])
    machine.run(lambda job: next(answers))

    assert State.RETRYING == machine.state

    machine.pass_time(10).run(lambda job: next(answers)).pass_time(10).run(lambda job: next(answers))

    assert State.SUCCESS == machine.state
    assert [State.FAILED, State.FAILED, State.SUCCESS] == [a.state for a in machine.rows[0].run.attempts]


def test_retries_end_after_the_last_attempt() -> None:
    """`maxAttempts` counts the first run."""
    retry = {"type": "constant", "interval": "PT1S", "maxAttempts": 2}
    machine = Machine(flow(task("a", retry=retry))).create().run(lambda job: State.FAILED)

    machine.pass_time(1).run(lambda job: State.FAILED)

    assert State.FAILED == machine.state
    assert not machine.timers


def test_a_flow_retry_that_creates_a_new_execution() -> None:
    """The execution ends RETRIED, and another with the next attempt number follows."""
    retry = {"type": "constant", "interval": "PT1S", "maxAttempts": 2, "behavior": "CREATE_NEW_EXECUTION"}
    machine = Machine(flow("a", retry=retry)).create().run(lambda job: State.FAILED)

    assert State.RETRIED == machine.state

    machine.pass_time(2)

    [created] = [message for message in machine.messages if isinstance(message, events.CreateExecution)]
    assert 2 == created.attempt_number
    assert EXECUTION == created.parent_id


def test_a_lost_worker_gives_its_job_to_another() -> None:
    """The attempt is over (RESUBMITTED), and the next one is sent."""
    machine = Machine(flow("a")).create()
    job = machine.jobs.popleft()
    machine.start(job)
    machine.step(events.WorkerLost(execution_id=EXECUTION, at=machine.now, seq=0, attempt=1, worker="w1"))

    [again] = machine.jobs
    assert 2 == again.attempt

    machine.finish(job)
    assert State.RUNNING == machine.state

    assert State.SUCCESS == machine.run().state
    assert [State.RESUBMITTED, State.SUCCESS] == [a.state for a in machine.rows[0].run.attempts]


def test_a_job_that_kills_its_workers_is_not_run_for_ever() -> None:
    """After three resubmissions the task run is FAILED with the reason."""
    machine = Machine(flow("a")).create()
    for attempt in range(1, 5):
        machine.start(machine.jobs.popleft())
        machine.step(events.WorkerLost(execution_id=EXECUTION, at=machine.now, seq=0, attempt=attempt, worker="w1"))

    assert State.FAILED == machine.state
    assert "lost" in (machine.rows[0].run.error or "")


def test_a_repeated_result_changes_nothing() -> None:
    """Messages may be delivered again; each task is dispatched once."""
    machine = Machine(flow("a", "b")).create()
    job = machine.jobs.popleft()
    machine.start(job)
    machine.finish(job)
    machine.finish(job)
    machine.start(job)

    assert ["b"] == [waiting.task_id for waiting in machine.jobs]


def test_a_subflow_ends_with_its_child() -> None:
    """The task run waits for the child, takes over its state and shows its outputs."""
    machine = Machine(flow(SUBFLOW, "after"))
    machine.flows["company.team", "child"] = Machine(flow("x").replace("id: f", "id: child", 1)).plan
    machine.create()
    [created] = [message for message in machine.messages if isinstance(message, events.CreateExecution)]

    assert "child" == created.flow_id
    assert not machine.jobs

    machine.step(
        events.ChildEnded(
            execution_id=EXECUTION, at=machine.now, seq=0, attempt=1, child_id=created.execution_id,
            state=State.SUCCESS, outputs={"o": 1},
        )
    )  # fmt: skip

    assert {"o": 1} == (machine.outputs[0].ref.value or {})["outputs"]
    assert State.SUCCESS == machine.run().state


def test_a_subflow_that_ends_badly_says_so_in_the_log_of_its_task() -> None:
    """Whoever asks for the errors of the parent finds the child."""
    machine = Machine(flow(SUBFLOW))
    machine.flows["company.team", "child"] = Machine(flow("x").replace("id: f", "id: child", 1)).plan
    machine.create()
    [created] = machine.messages

    machine.step(
        events.ChildEnded(
            execution_id=EXECUTION, at=machine.now, seq=0, attempt=1, child_id=created.execution_id, state=State.FAILED
        )
    )

    where = f'execution="{created.execution_id}" flowId="child" namespace="company.team"'
    assert f"Subflow execution [[link {where}]] ends in FAILED state" == machine.logs[-1]
    assert machine.logs[-1] == machine.rows[0].run.error


@pytest.mark.parametrize(
    ("child", "task_state"),
    [("SUCCESS", "SUCCESS"), ("WARNING", "WARNING"), ("KILLED", "KILLED"), ("CANCELLED", "SUCCESS")],
)
def test_a_subflow_takes_over_what_kestra_takes_over(child: str, task_state: str) -> None:
    """Failures, warnings and kills are the parent's too; a child that was cancelled is not."""
    machine = Machine(flow(SUBFLOW))
    machine.flows["company.team", "child"] = Machine(flow("x").replace("id: f", "id: child", 1)).plan
    machine.create()
    [created] = machine.messages

    machine.step(
        events.ChildEnded(
            execution_id=EXECUTION, at=machine.now, seq=0, attempt=1, child_id=created.execution_id, state=State(child)
        )
    )

    assert [("s", task_state)] == machine.states()


def test_a_child_knows_the_task_run_that_has_started_it() -> None:
    """Its trigger names the run; labels of the system go along; inputs that nobody has declared are told."""
    machine = Machine(flow({**SUBFLOW, "inputs": {"nobody": 1}}))
    machine.flows["company.team", "child"] = Machine(flow("x").replace("id: f", "id: child", 1)).plan
    machine.create(labels=(("own", "1"), ("system.correlationId", "c"), ("system.from", "api")))
    [created] = machine.messages

    assert {"system.correlationId": "c", "system.from": "api"} == dict(created.labels)
    assert (machine.rows[0].run.id, "s") == (
        created.trigger.variables["taskRunId"],
        created.trigger.variables["taskId"],
    )
    assert any("Input nobody was provided by parent execution" in line for line in machine.logs)


def test_a_missing_subflow_fails_its_task() -> None:
    """The sentence names the flow."""
    machine = Machine(flow(SUBFLOW)).create()

    assert State.FAILED == machine.state
    assert any("'company.team'.'child'" in line for line in machine.logs)


def test_a_queued_execution_runs_when_its_scope_grants_a_slot() -> None:
    """With a concurrency limit the execution asks first, and gives the slot back at its end."""
    machine = Machine(flow("a", concurrency={"limit": 1})).create()
    [asked] = machine.messages

    assert isinstance(asked, events.SlotRequested)
    machine.step(events.SlotRefused(execution_id=EXECUTION, at=machine.now, scope=asked.execution_id, behavior="QUEUE"))
    assert State.QUEUED == machine.state

    machine.step(events.SlotGranted(execution_id=EXECUTION, at=machine.now, scope=asked.execution_id))
    machine.run()

    assert State.SUCCESS == machine.state
    assert isinstance(machine.messages[-1], events.SlotReleased)


def test_a_killed_parent_kills_its_child() -> None:
    """The kill goes down, and the parent waits for the child's end."""
    machine = Machine(flow(SUBFLOW))
    machine.flows["company.team", "child"] = Machine(flow("x").replace("id: f", "id: child", 1)).plan
    machine.create()
    kill(machine)

    assert isinstance(machine.messages[-1], events.KillRequested)
    assert State.KILLING == machine.state


def test_a_scheduled_execution_waits_for_its_date() -> None:
    """It stays CREATED until the date has come."""
    machine = Machine(flow("a"))
    machine.create(schedule_date=machine.now + timedelta(hours=1))

    assert State.CREATED == machine.state
    assert State.SUCCESS == machine.pass_time(3601).run().state


@pytest.mark.parametrize(("behavior", "state"), [("FAIL", State.FAILED), ("CANCEL", State.CANCELLED)])
def test_a_longest_duration_that_passes_ends_the_execution(behavior: str, state: State) -> None:
    """What ran last ends as the execution does, what ran beside it is killed."""
    sla = [{"id": "m", "type": "MAX_DURATION", "duration": "PT1M", "behavior": behavior}]
    machine = Machine(flow(group("Parallel", "p", "a", "b"), sla=sla)).create()
    jobs = list(machine.jobs)
    for job in jobs:
        machine.start(job)
    machine.pass_time(61)
    for job in jobs:
        machine.finish(job, State.KILLED)

    assert state is machine.state
    assert [("p", state), ("a", "KILLED"), ("b", state)] == machine.states()
    assert state is machine.rows[2].run.attempts[-1].state
    assert any(
        line.startswith("SLA 'm' violated: execution duration of PT1M") and line.endswith("maximum duration of PT1M.")
        for line in machine.logs
    ), machine.logs


def test_a_kill_ends_what_runs_killed() -> None:
    """Only an agreement shows by a task run; a person's kill does not."""
    machine = Machine(flow("a")).create()
    job = machine.jobs.popleft()
    machine.start(job)
    kill(machine)
    machine.finish(job, State.KILLED)

    assert [("a", "KILLED")] == machine.states()


def test_a_loop_until_runs_rounds_until_its_condition_holds() -> None:
    """Between rounds it waits for its interval; the number of rounds is an output."""
    text = flow(
        group("LoopUntil", "l", "x", condition="{{ outputs.l.iterationCount == 3 }}",
              checkFrequency={"interval": "PT5S", "maxIterations": 10})
    )  # fmt: skip
    machine = Machine(text).create()
    for _ in range(3):
        machine.run().pass_time(5)

    assert State.SUCCESS == machine.state
    assert {"iterationCount": 3} == machine.outputs[0].ref.value


@pytest.mark.parametrize(
    ("kind", "properties"),
    [
        ("UnsetVariables", {"variables": "["}),
        ("UnsetVariables", {"variables": "{{ 1 }}"}),
        ("Exit", {"state": "{{ 'SOMETHING' }}"}),
        ("Labels", {"labels": "["}),
        ("SetVariables", {"variables": "{{ [1] }}"}),
    ],
)
def test_what_cannot_be_applied_fails_the_task(kind: str, properties: dict[str, Any]) -> None:
    """A task of the executor's own that makes no sense fails like any other; the execution ends."""
    task = {"id": "own", "type": f"io.kestra.plugin.core.execution.{kind}", **properties}

    machine = Machine(flow(task)).create()

    assert [("own", "FAILED")] == machine.states()
    assert machine.head is not None
    assert machine.head.done


@pytest.mark.parametrize(
    ("kind", "value", "kept"),
    [
        ("JSON", "{{ {'a': 1, 'b': [1 + 1.5, 'x' | first]} }}", {"a": 1, "b": [2.5, "x"]}),
        (None, "{{ 1 + 1 }}", 2),
        (None, "{{ '12345678901234567890123' | number('BIGINTEGER') }}", "12345678901234567890123"),
        ("STRING", "{{ outputs }}", '{"a":{"value":"a"}}'),
        ("JSON", "{{ outputs }}", {"a": {"value": "a"}}),
        ("JSON", "{{ {'at': execution.startDate} }}", {"at": "2026-01-01T00:00:00Z"}),
    ],
)
def test_outputs_of_a_flow_are_kept_as_data(kind: str | None, value: str, kept: Any) -> None:
    """What an expression computes with (Java's numbers, parts of the context) can be saved, whatever the type."""
    output = {"id": "o", "value": value, **({"type": kind} if kind else {})}
    machine = Machine(flow("a", outputs=[output])).create().run()

    assert machine.head is not None
    assert {"o": kept} == machine.head.execution.outputs
