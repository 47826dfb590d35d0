"""Flowables: which child comes next, and what state their ends mean."""

from __future__ import annotations

from typing import Any

import pytest

from tests.statemachine.flows import flow, group, task
from tests.statemachine.machine import Machine
from tiercel.messages.worker_job import TaskJob
from tiercel.model.state import State
from tiercel.plugins.core.flow.branching import TaskList
from tiercel.plugins.registry import register


@register("tiercel.tests.Named")
class Named(TaskList, frozen=True, kw_only=True):
    """A list of tasks that shows how it is called."""

    SHOWN = ("def_",)

    def_: str | None = None


def failing(*task_ids: str, value: str | None = None):
    """A worker for which these tasks fail."""

    def answer(job: TaskJob) -> State:
        return State.FAILED if job.task_id in task_ids and value in (None, job.value) else State.SUCCESS

    return answer


def test_tasks_of_a_flow_run_one_after_another() -> None:
    """The second job is sent when the first has ended, not before."""
    machine = Machine(flow("a", "b")).create()

    assert ["a"] == [job.task_id for job in machine.jobs]

    machine.run()

    assert [("a", "SUCCESS"), ("b", "SUCCESS")] == machine.states()
    assert [State.CREATED, State.RUNNING, State.SUCCESS] == machine.history


def test_a_failure_ends_the_flow_before_the_next_task() -> None:
    """Tasks after a failed one get no task run."""
    machine = Machine(flow("a", "b")).create().run(failing("a"))

    assert [("a", "FAILED")] == machine.states()
    assert State.FAILED == machine.state


def test_errors_run_after_a_failure_and_do_not_change_the_state() -> None:
    """The final state is that of the tasks, not of the errors branch."""
    machine = Machine(flow("a", errors=[task("e")], **{"finally": [task("z")]})).create().run(failing("a"))

    assert [("a", "FAILED"), ("e", "SUCCESS"), ("z", "SUCCESS")] == machine.states()
    assert State.FAILED == machine.state


def test_after_execution_runs_when_the_state_is_known() -> None:
    """Tasks after the end run with the final state set, and do not change it."""
    machine = Machine(flow("a", afterExecution=[task("z")])).create().run(failing("z"))

    assert State.SUCCESS == machine.state
    assert [("a", "SUCCESS"), ("z", "FAILED")] == machine.states()
    assert machine.head is not None
    assert machine.head.done


def test_listeners_run_before_the_tasks_after_the_end() -> None:
    """A flow of 1.x may have both."""
    machine = Machine(flow("a", afterExecution=[task("z")], listeners=[{"tasks": [task("l")]}])).create().run()

    assert [("a", "SUCCESS"), ("l", "SUCCESS"), ("z", "SUCCESS")] == machine.states()


@pytest.mark.parametrize("kind", ["Parallel", "Dag"])
def test_the_number_of_children_at_a_time_may_be_an_expression(kind: str) -> None:
    """`concurrent` is rendered when the flowable begins."""
    tasks = ["a", "b", "c"] if kind == "Parallel" else []
    more = {} if tasks else {"tasks": [{"task": task(name)} for name in ("a", "b", "c")]}
    machine = Machine(flow(group(kind, "p", *tasks, concurrent="{{ vars.n }}", **more), variables={"n": 2})).create()

    assert ["a", "b"] == [job.task_id for job in machine.jobs]
    assert State.SUCCESS == machine.run().state


def test_a_number_of_children_that_is_none_fails_the_flowable() -> None:
    """The task run says what it has got."""
    machine = Machine(flow(group("Parallel", "p", "a", concurrent="{{ 'many' }}"))).create()

    assert [("p", "FAILED")] == machine.states()
    assert ["'concurrent' must be a number from 0 on, but it is 'many'."] == machine.logs


def test_parallel_sends_all_children_at_once() -> None:
    """Without a limit every child is a job at once."""
    machine = Machine(flow(group("Parallel", "p", "a", "b", "c"))).create()

    assert ["a", "b", "c"] == [job.task_id for job in machine.jobs]
    assert State.SUCCESS == machine.run().state


def test_parallel_keeps_its_limit() -> None:
    """With `concurrent: 2` the third child waits for an end."""
    machine = Machine(flow(group("Parallel", "p", "a", "b", "c", concurrent=2))).create()

    assert ["a", "b"] == [job.task_id for job in machine.jobs]

    job = machine.jobs.popleft()
    machine.start(job)
    machine.finish(job)

    assert ["b", "c"] == [job.task_id for job in machine.jobs]


def test_errors_of_a_flow_begin_only_when_the_parallel_has_ended() -> None:
    """With CONTINUE a failed child leaves its running siblings alone; the parent ends when they have."""
    parallel = group("Parallel", "p", "a", "b", onChildFailure="CONTINUE")
    machine = Machine(flow(parallel, errors=[task("e")])).create()
    first, second = machine.jobs.popleft(), machine.jobs.popleft()
    for job in (first, second):
        machine.start(job)
    machine.finish(first, State.FAILED)

    assert State.RUNNING == machine.rows[machine.seq_of("p")].run.state

    machine.finish(second)
    machine.run()

    assert State.FAILED == machine.state
    assert ("e", "SUCCESS") in machine.states()


@pytest.mark.parametrize(("limit", "sent"), [(1, 1), (2, 2), (0, 3)])
def test_for_each_starts_as_many_values_as_it_may(limit: int, sent: int) -> None:
    """`concurrencyLimit` bounds the values under way; 0 means all."""
    text = flow(group("ForEach", "each", "x", "y", values=["a", "b", "c"], concurrencyLimit=limit))
    machine = Machine(text).create()

    assert sent == len(machine.jobs)

    machine.run()

    assert State.SUCCESS == machine.state
    assert 7 == len(machine.rows)


def test_tasks_of_one_value_run_in_order() -> None:
    """The second task of a value is sent when its first has ended."""
    machine = Machine(flow(group("ForEach", "each", "x", "y", values=["a", "b"], concurrencyLimit=0))).create()
    machine.run()

    order = [(record.run.task_id, record.run.value) for _, record in sorted(machine.rows.items())][1:]

    assert order.index(("x", "a")) < order.index(("y", "a"))
    assert order.index(("x", "b")) < order.index(("y", "b"))


def test_a_failed_value_stops_the_loop() -> None:
    """No further value is begun after a failure, and the loop is FAILED."""
    machine = Machine(flow(group("ForEach", "each", "x", values=["a", "b", "c"]))).create()
    machine.run(failing("x", value="b"))

    assert [("each", "FAILED"), ("x[a]", "SUCCESS"), ("x[b]", "FAILED")] == machine.states()


def test_an_empty_loop_succeeds() -> None:
    """No values, no children: SUCCESS."""
    assert State.SUCCESS == Machine(flow(group("ForEach", "each", "x", values=[]))).create().state


def test_a_wide_loop_keeps_its_jobs_within_the_bound() -> None:
    """An execution never has more jobs waiting or running than the setting says, and still ends."""
    text = flow(group("ForEach", "each", "x", values="{{ range(1, 300) }}", concurrencyLimit=0))
    machine = Machine(text, jobs_max=50, chunk=20).create()
    most = 0

    def answer(job: TaskJob) -> State:
        nonlocal most
        most = max(most, len(machine.jobs) + 1)
        return State.SUCCESS

    machine.run(answer)

    assert State.SUCCESS == machine.state
    assert 301 == len(machine.rows)
    assert most <= 50


def test_ended_children_of_a_loop_leave_memory() -> None:
    """Memory holds what is live, however many children have ended."""
    machine = Machine(flow(group("ForEach", "each", "x", values="{{ range(1, 100) }}"), "last")).create()

    for _ in range(100):
        job = machine.jobs.popleft()
        machine.start(job)
        machine.finish(job)

    assert machine.entry.aggregate is not None
    assert 1 == len(machine.entry.aggregate.runs)


def test_if_runs_the_branch_that_its_condition_chooses() -> None:
    """`then` when the condition holds, else `else`; the outcome is an output."""
    text = flow(
        {"id": "c", "type": "io.kestra.plugin.core.flow.If", "condition": "{{ 1 == 2 }}", "then": [task("t")],
         "else": [task("e")]}
    )  # fmt: skip
    machine = Machine(text).create().run()

    assert [("c", "SUCCESS"), ("e", "SUCCESS")] == machine.states()
    assert {"evaluationResult": False} == machine.outputs[machine.seq_of("c")].ref.value


def test_an_expression_that_cannot_be_evaluated_fails_the_task_with_its_reason() -> None:
    """The sentence names what is missing, and the flow's errors run."""
    text = flow(
        {"id": "c", "type": "io.kestra.plugin.core.flow.If", "condition": "{{ nothing }}", "then": [task("t")]},
        errors=[task("e")],
    )
    machine = Machine(text).create().run()

    assert [("c", "FAILED"), ("e", "SUCCESS")] == machine.states()
    assert any("nothing" in line for line in machine.logs)


def test_a_dag_starts_a_task_when_what_it_depends_on_has_ended() -> None:
    """Independent tasks run at once, dependants after."""
    text = flow(
        {"id": "d", "type": "io.kestra.plugin.core.flow.Dag",
         "tasks": [{"task": task("a")}, {"task": task("b"), "dependsOn": ["a"]}, {"task": task("c")}]}
    )  # fmt: skip
    machine = Machine(text).create()

    assert ["a", "c"] == [job.task_id for job in machine.jobs]
    assert State.SUCCESS == machine.run().state
    assert 4 == len(machine.rows)


def test_a_disabled_task_of_a_dag_hands_on_what_it_waits_for() -> None:
    """What depends on it waits for its dependencies, through a chain of disabled ones too; on a root, for nothing."""
    off = {"disabled": True}
    entries = [
        {"task": task("a")}, {"task": task("b", **off), "dependsOn": ["a"]},
        {"task": task("c", **off), "dependsOn": ["b"]}, {"task": task("d"), "dependsOn": ["c"]},
        {"task": task("e", **off)}, {"task": task("f"), "dependsOn": ["e"]},
    ]  # fmt: skip
    machine = Machine(flow({"id": "g", "type": "io.kestra.plugin.core.flow.Dag", "tasks": entries})).create()

    assert ["a", "f"] == [job.task_id for job in machine.jobs]
    assert [("g", "SUCCESS"), ("a", "SUCCESS"), ("f", "SUCCESS"), ("d", "SUCCESS")] == machine.run().states()


def test_a_null_among_the_values_is_named_with_them() -> None:
    """So the author finds it."""
    machine = Machine(flow(group("ForEach", "each", "a", values='[1, null, {"key": "k"}]'))).create()

    assert State.FAILED == machine.state
    assert any("Found '1' null values on Each, with values=[1, null, {key=k}]" in line for line in machine.logs)


def test_allow_failure_turns_a_failure_into_a_warning() -> None:
    """The flow goes on, and ends in WARNING."""
    machine = Machine(flow(group("AllowFailure", "g", "a"), "b")).create().run(failing("a"))

    assert [("g", "WARNING"), ("a", "FAILED"), ("b", "SUCCESS")] == machine.states()
    assert State.WARNING == machine.state


def test_a_task_whose_condition_does_not_hold_is_skipped() -> None:
    """SKIPPED runs count as ended, and nothing is sent for them."""
    machine = Machine(flow(task("a", runIf="{{ false }}"), "b")).create().run()

    assert [("a", "SKIPPED"), ("b", "SUCCESS")] == machine.states()


def test_disabled_tasks_get_no_task_run() -> None:
    """They are passed over, in every list."""
    machine = Machine(flow(task("a", disabled=True), group("Parallel", "p", task("x", disabled=True), "y"))).create()
    machine.run()

    assert [("p", "SUCCESS"), ("y", "SUCCESS")] == machine.states()


def test_a_loop_that_asks_too_often_runs_its_errors_when_that_is_a_failure() -> None:
    """A LoopUntil that reaches its maximum with 'failOnMaxReached' has failed: errors, then finally."""
    loop = group(
        "LoopUntil",
        "loop",
        "a",
        condition="{{ false }}",
        failOnMaxReached=True,
        checkFrequency={"maxIterations": 1, "interval": "PT1S"},
        errors=[task("e")],
        **{"finally": [task("z")]},
    )
    machine = Machine(flow(loop, "b")).create().run().pass_time(10).run()

    assert [("loop", "FAILED"), ("a", "SUCCESS"), ("e", "SUCCESS"), ("z", "SUCCESS")] == machine.states()
    assert State.FAILED == machine.state


@pytest.mark.parametrize(
    ("frequency", "maximum"),
    [
        ({"maxIterations": 1, "interval": "PT1S"}, "'maxIterations' of 1"),
        ({"maxDuration": "PT5S", "interval": "PT10S"}, "'maxDuration' of PT5S"),
    ],
)
@pytest.mark.parametrize("fails", [True, False])
def test_a_loop_that_fails_at_its_maximum_says_which(frequency: dict[str, Any], maximum: str, *, fails: bool) -> None:
    """The reason stands in the log; one that may end unmet has none."""
    loop = group("LoopUntil", "loop", "a", condition="{{ false }}", failOnMaxReached=fails, checkFrequency=frequency)
    machine = Machine(flow(loop)).create().run().pass_time(20).run()

    reason = f"The condition has not come true within {maximum}, and 'failOnMaxReached' is set."
    assert ("FAILED" if fails else "SUCCESS") == machine.state
    assert fails is (reason in machine.logs)


def test_the_installation_is_seen_by_what_the_executor_renders() -> None:
    """`kestra` tells the public address and the name of the installation."""
    choice = {"id": "c", "type": "io.kestra.plugin.core.flow.If", "condition": "{{ kestra.environment == 'prod' }}"}
    machine = Machine(flow({**choice, "then": [task("a")]}), kestra={"environment": "prod"}).create().run()

    assert [("c", "SUCCESS"), ("a", "SUCCESS")] == machine.states()


def test_a_flowable_shows_the_fields_that_its_type_names() -> None:
    """They are its outputs from its begin."""
    machine = Machine(flow({"id": "g", "type": "tiercel.tests.Named", "def": "first", "tasks": [task("a")]})).create()

    assert {"def": "first"} == machine.outputs[0].ref.value
