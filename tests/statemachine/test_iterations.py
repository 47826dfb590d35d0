"""Loop: iterations are executions of their own; the loop counts them, and holds no list of them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.statemachine.family import Family
from tests.statemachine.flows import CORE, flow, group, task
from tests.statemachine.machine import EXECUTION, Answer
from tiercel.executor.core import intervals
from tiercel.executor.core.iterations import CHUNK_BYTES
from tiercel.messages import execution_event as events
from tiercel.messages.worker_job import TaskJob
from tiercel.model.execution import ExecutionKind
from tiercel.model.state import State


def looped(*tasks: Any, values: Any = ("a", "b", "c"), **properties: Any) -> str:
    """A flow with a Loop and a task after it."""
    values = list(values) if isinstance(values, tuple) else values
    return flow(group("Loop", "loop", *tasks, values=values, **properties), "end")


def failing(*values: str, task_id: str | None = None) -> Answer:
    """A worker for which tasks fail in iterations of these values."""

    def answer(job: TaskJob) -> State:
        item = job.context.get("item", {}).get("value")
        return State.FAILED if item in values and task_id in (None, job.task_id) else State.SUCCESS

    return answer


def test_iterations_run_one_after_another() -> None:
    """Each value is an execution of kind LOOP that runs the loop's tasks; the next comes when it has ended."""
    family = Family(looped("x", "y")).create()

    assert 1 == len(family.children())

    family.run()

    assert [("loop", "SUCCESS"), ("end", "SUCCESS")] == family.root.states()
    assert [[("x", "SUCCESS"), ("y", "SUCCESS")]] * 3 == [child.states() for child in family.children()]
    heads = [child.head.execution for child in family.children() if child.head]
    assert [ExecutionKind.LOOP] * 3 == [one.kind for one in heads]
    assert [(0, "a"), (1, "b"), (2, "c")] == [(r.index, r.value) for one in heads if (r := one.loop_run)]
    assert {"iterationCount": 3, "runningIterations": 0, "terminatedIterations": 3} == family.outputs("loop")


def test_no_more_iterations_run_than_the_limit_allows() -> None:
    """With a limit of two, the third iteration begins when one has ended."""
    family = Family(looped("x", values=("a", "b", "c", "d"), concurrencyLimit=2)).create()

    assert 2 == len(family.children())

    family.work(family.children()[1])

    assert [State.RUNNING, State.SUCCESS, State.RUNNING] == family.states()


def test_a_loop_without_a_limit_has_one_all_the_same() -> None:
    """As many iterations as an execution may have jobs; the others come as these end."""
    values = [str(number) for number in range(40)]
    family = Family(looped("x", values=values, concurrencyLimit=0), jobs_max=7).create()

    assert 7 == len(family.children())
    family.work(family.children()[3])
    assert 8 == len(family.children())
    family.run()

    assert [State.SUCCESS] * 40 == family.states()
    assert State.SUCCESS == family.root.state


def test_iterations_over_long_values_are_started_in_smaller_chunks() -> None:
    """What one event starts is sent in one go, so that it is bounded in bytes, too."""
    family = Family(looped("x", values="kestra:///rows", concurrencyLimit=0))
    family.files["kestra:///rows"] = ["x" * (CHUNK_BYTES // 3 + 1)] * 20

    family.create()

    assert 3 + 1 == family.longest_burst  # and the event to go on
    assert 20 == len(family.children())


def test_a_wide_loop_is_started_in_chunks() -> None:
    """An event starts a chunk of iterations at most, and the loop's record stays small."""
    values = [str(number) for number in range(40)]
    family = Family(looped("x", values=values, concurrencyLimit=0), chunk=10).create()

    assert 40 == len(family.children())
    assert 12 >= family.longest_burst

    family.run()

    assert State.SUCCESS == family.root.state
    branch = family.root.rows[0].branch
    assert branch is not None
    assert [[0, 40]] == branch.data["ended"]


def test_the_first_failure_ends_the_loop_at_once() -> None:
    """Iterations that run go on, later ones are not started."""
    family = Family(looped("x", values=("a", "b", "c"), concurrencyLimit=2)).create()

    family.work(family.children()[0], failing("a"))

    assert State.FAILED == family.root.state
    assert [State.FAILED, State.RUNNING] == family.states()

    family.run()

    assert [State.FAILED, State.SUCCESS] == family.states()
    assert State.FAILED == family.root.state


def test_failures_do_not_matter_when_they_are_not_transmitted() -> None:
    """With `transmitFailed: false` every iteration runs, and the loop succeeds."""
    family = Family(looped("x", transmitFailed=False)).create().run(failing("a", "b", "c"))

    assert [State.FAILED] * 3 == family.states()
    assert State.SUCCESS == family.root.state


def test_errors_and_finally_run_inside_the_iteration() -> None:
    """The loop's lists belong to each of its iterations."""
    text = looped("x", errors=[task("e")], **{"finally": [task("z")]})
    family = Family(text).create().run(failing("a", task_id="x"))

    assert [[("x", "FAILED"), ("e", "SUCCESS"), ("z", "SUCCESS")]] == [one.states() for one in family.children()]
    assert [("loop", "FAILED")] == family.root.states()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"k1": "v1", "k2": {"a": 1}}, [("k1", "v1"), ("k2", '{"a":1}')]),
        ('["x", {"y": 1}, 2]', [(None, "x"), (None, '{"y":1}'), (None, "2")]),
        ("{{ ['p', 'q', 'p'] }}", [(None, "p"), (None, "q")]),
        ("kestra:///rows.ion", [(None, "one"), (None, "two")]),
    ],
)
def test_values_are_a_list_a_map_json_or_a_file(values: Any, expected: list[tuple[str | None, str]]) -> None:
    """Objects become their JSON; a map gives keys; a value that a list repeats is run once."""
    family = Family(looped("x", values=values))
    family.files["kestra:///rows.ion"] = ["one", "two"]

    family.create().run()

    runs = [child.head.execution.loop_run for child in family.children() if child.head]
    assert expected == [(run.key, run.value) for run in runs if run]


def test_a_null_among_the_values_fails_the_loop() -> None:
    """The log says so."""
    family = Family(looped("x", values='["a", null]')).create()

    assert State.FAILED == family.root.state
    assert any("Found a null value inside the iteration values" in line for line in family.root.logs)


def test_a_loop_without_values_succeeds() -> None:
    """There is nothing to do."""
    family = Family(looped("x", values="[]")).create().run()

    assert [("loop", "SUCCESS"), ("end", "SUCCESS")] == family.root.states()


def test_outputs_of_the_iterations_are_listed_in_order_of_their_end() -> None:
    """More of them than fit into the loop's record go to pages and come back."""
    values = [f"v{number}" for number in range(120)]
    outputs = [{"id": "o", "type": "STRING", "value": "{{ item.value }}"}]
    family = Family(looped("x", values=values, outputs=outputs)).create().run()

    shown = family.outputs("loop")["outputs"]
    assert [
        {"item": {"value": one, "iteration": place}, "outputs": {"o": one}} for place, one in enumerate(values)
    ] == (shown)
    assert family.root.pages


def test_outputs_go_to_files_when_they_are_to_be_stored() -> None:
    """With `fetchType: STORE` each iteration's outputs are the URI of a file with one Ion map."""
    outputs = [{"id": "o", "type": "STRING", "value": "{{ item.value }}"}]
    family = Family(looped("x", values=("a",), outputs=outputs, fetchType="STORE")).create().run()

    (entry,) = family.outputs("loop")["outputs"]
    assert b'{o:"a"}' == family.stored[entry["outputs"]["uri"]]


def test_expressions_see_the_item_and_what_is_around() -> None:
    """`item.parents` goes from the outside in, and outputs of tasks before the loop are seen inside."""
    format_ = "{{ item.parents[0].value }}{{ item.parent.index }}{{ item.value }} {{ outputs.first.value }}"
    inner = group("Loop", "inner", {"id": "s", "type": CORE + "Switch", "value": format_, "defaults": [task("t")]},
                  values=["i"])  # fmt: skip
    family = Family(flow("first", group("Loop", "outer", inner, values=["o", "p"]))).create().run()

    assert State.SUCCESS == family.root.state
    seen = [o.ref.value["value"] for one in family.members.values() for o in one.outputs.values() if o.task_id == "s"]
    assert ["o0i first", "p1i first"] == seen


def test_a_pause_inside_pauses_the_loop_and_a_resume_reaches_it() -> None:
    """The loop's task run and its execution are PAUSED until the iteration goes on."""
    inner = group("Loop", "inner", {"id": "p", "type": CORE + "Pause"}, "x", values=["i"])
    family = Family(flow(group("Loop", "outer", inner, values=["o"]), "end")).create()

    assert State.PAUSED == family.root.state
    assert [("outer", "PAUSED")] == family.root.states()

    family.send(events.ResumeRequested(execution_id=EXECUTION, at=family.now)).run()

    assert State.SUCCESS == family.root.state
    assert family.root.head is not None
    assert 0 == family.root.head.paused


@pytest.mark.parametrize("condition", ["{{ item.index >= 1 }}", "{{ iteration.outputs.x == 'b' }}"])
def test_a_loop_that_breaks_begins_no_more_iterations(condition: str) -> None:
    """The condition sees the iteration that has ended; those that run end as they would have."""
    outputs = [{"id": "x", "type": "STRING", "value": "{{ item.value }}"}]
    family = Family(looped("x", breakWhen=condition, outputs=outputs)).create().run()

    assert [("loop", "SUCCESS"), ("end", "SUCCESS")] == family.root.states()
    assert 2 == len(family.children())


def test_a_loop_whose_break_cannot_be_told_fails() -> None:
    """With the reason."""
    family = Family(looped("x", breakWhen="{{ nothing }}")).create().run()

    assert [("loop", "FAILED")] == family.root.states()
    assert any("nothing" in line for line in family.root.logs)


def test_a_resume_reaches_every_iteration_that_is_paused() -> None:
    """A resume of one iteration is for that one; the loop is PAUSED as long as another is."""
    family = Family(looped({"id": "p", "type": CORE + "Pause"}, concurrencyLimit=0)).create()
    first = family.children()[0]

    family.send(events.ResumeRequested(execution_id=first.id, at=family.now)).run()

    assert [State.SUCCESS, State.PAUSED, State.PAUSED] == [child.state for child in family.children()]
    assert State.PAUSED == family.root.state

    family.send(events.ResumeRequested(execution_id=EXECUTION, at=family.now)).run()

    assert {State.SUCCESS} == set(family.states())
    assert State.SUCCESS == family.root.state


@pytest.mark.parametrize("fails", [False, True])
def test_a_paused_iteration_holds_up_itself_alone(fails: bool) -> None:
    """The next begins when another has ended, whatever is paused; one that fails ends the loop at once."""
    pause = {"id": "i", "type": CORE + "If", "condition": "{{ item.value == 'a' }}",
             "then": [{"id": "p", "type": CORE + "Pause"}], "else": [task("x")]}  # fmt: skip
    family = Family(looped(pause, concurrencyLimit=2)).create().run(failing("b" if fails else ""))

    if fails:
        assert [("loop", "FAILED")] == family.root.states()
        assert State.FAILED == family.root.state
        # What was paused then still is: the loop hears of it when it begins anew.
        family.send(events.RestartRequested(execution_id=EXECUTION, at=family.now)).run()
    assert [State.PAUSED, State.SUCCESS, State.SUCCESS] == [child.state for child in family.children()]
    assert State.PAUSED == family.root.state

    family.send(events.ResumeRequested(execution_id=EXECUTION, at=family.now)).run()

    assert State.SUCCESS == family.root.state
    assert family.root.head is not None
    assert 0 == family.root.head.paused


@pytest.mark.parametrize("pauses", [False, True])
def test_a_kill_reaches_every_iteration(pauses: bool) -> None:
    """The loop is KILLED when all that run have said so; iterations are told in chunks."""
    inner: Any = {"id": "x", "type": CORE + "Pause"} if pauses else "x"
    values = [str(number) for number in range(25)]
    family = Family(looped(inner, values=values, concurrencyLimit=0), chunk=10).create()

    family.send(events.KillRequested(execution_id=EXECUTION, at=family.now))

    assert {State.KILLED} == set(family.states())
    assert [("loop", "KILLED")] == family.root.states()
    assert State.KILLED == family.root.state


def test_iterations_that_do_not_answer_a_kill_are_given_up() -> None:
    """After the deadline the loop ends without them."""
    family = Family(looped("x")).create()
    del family.members[family.children()[0].id]

    family.send(events.KillRequested(execution_id=EXECUTION, at=family.now))

    assert State.KILLING == family.root.state

    family.root.pass_time(31)

    assert State.KILLED == family.root.state


def test_a_restart_runs_the_failed_iteration_again_in_place() -> None:
    """No second execution is made for its index, and the loop goes on after it."""
    family = Family(looped("x", "y")).create().run(failing("b", task_id="y"))

    assert [State.SUCCESS, State.FAILED] == family.states()

    family.send(events.RestartRequested(execution_id=EXECUTION, at=family.now)).run()

    assert [State.SUCCESS] * 3 == family.states()
    assert [("x", "SUCCESS"), ("y", "SUCCESS")] == family.children()[1].states()
    assert [("loop", "SUCCESS"), ("end", "SUCCESS")] == family.root.states()
    assert 3 == family.outputs("loop")["terminatedIterations"]


def test_an_iteration_is_counted_once() -> None:
    """Its report may come twice."""
    family = Family(looped("x", concurrencyLimit=0)).create()
    first = family.children()[0]
    ended = events.ChildEnded(
        execution_id=EXECUTION, at=family.now, seq=0, attempt=1, child_id=first.id, state=State.SUCCESS, iteration=0
    )

    family.send(ended).send(ended)

    assert 1 == family.outputs("loop")["terminatedIterations"]


def test_a_loop_goes_on_in_another_executor() -> None:
    """Everything that it counts is saved."""
    family = Family(looped("x", values=("a", "b", "c", "d"), concurrencyLimit=2)).create()
    family.work(family.children()[0])

    for member in family.members.values():
        member.reload()
    family.run()

    assert [State.SUCCESS] * 4 == family.states()
    assert State.SUCCESS == family.root.state


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=60))
def test_ranges_are_a_set(steps: list[tuple[bool, int]]) -> None:
    """Whatever is added and removed, the ranges hold what a set would, sorted, disjoint and not adjacent."""
    ranges: intervals.Ranges = []
    expected: set[int] = set()
    for adds, number in steps:
        ranges = intervals.add(ranges, number) if adds else intervals.remove(ranges, number)
        expected = expected | {number} if adds else expected - {number}

    assert sorted(expected) == [number for first, beyond in ranges for number in range(first, beyond)]
    assert all(left[1] < right[0] for left, right in pairwise(ranges))
    assert len(expected) == intervals.size(ranges)
    assert [number for number in range(31) if number not in expected] == list(intervals.gaps(ranges, 0, 31))


def test_the_iterations_of_a_deleted_execution_go_with_it() -> None:
    """Nobody would find them any more: those of loops inside them, and ones that run still, go too; in chunks."""
    inner = group("Loop", "inner", "x", values=["1", "2"], concurrencyLimit=0)
    values = [str(number) for number in range(25)]
    family = Family(looped(inner, values=values, concurrencyLimit=0), chunk=10).create()
    for _ in range(30):
        family.work(next(one for one in family.members.values() if one.jobs))
    assert {State.SUCCESS, State.RUNNING} == {one.state for one in family.members.values()}

    family.longest_burst = 0
    family.send(events.DeleteRequested(execution_id=EXECUTION, at=family.now, running=True))

    assert sorted(family.members) == sorted(family.deleted)
    assert 1 + 25 + 2 * 25 == len(family.deleted)
    assert 12 >= family.longest_burst
