"""The scheduler's core as tables: state and event in, state and effects out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tiercel.errors import ExpressionError
from tiercel.flowspec.parse import parse_flow
from tiercel.messages.trigger_event import (
    FlowChanged,
    TriggerCommand,
    TriggeredExecutionEnded,
    TriggerEvaluated,
    TriggerEvent,
)
from tiercel.model.state import State
from tiercel.model.trigger_state import Backfill, TriggerState
from tiercel.scheduler.core.decide import decide, due, follow, taken_over, wake_at
from tiercel.scheduler.core.effects import Fire, Note
from tiercel.scheduler.core.plan import Surroundings, TriggerPlan, plan_of, scheduled

SCHEDULE = {"id": "trigger", "type": "io.kestra.plugin.core.trigger.Schedule", "cron": "0 * * * *"}
TASKS = [{"id": "task", "type": "io.kestra.plugin.core.execution.Labels", "labels": {"ran": "yes"}}]


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2024-07-15T{text}+00:00").astimezone(UTC)


NOW = at("10:20:30")


def render(text: str, variables: Any) -> str:
    """Stand in for expressions: `{{ false }}` is false, `{{ fail }}` fails, `{{ even }}` is true at even hours."""
    if "fail" in text:
        raise ExpressionError("It fails.")
    if "even" in text:
        hour = datetime.fromisoformat(variables["trigger"]["date"]).hour
        return "true" if hour % 2 == 0 else "false"
    return text.strip("{} ")


def plan(**trigger: Any) -> TriggerPlan:
    document = {"id": "flow", "namespace": "io.test", "tasks": TASKS, "triggers": [{**SCHEDULE, **trigger}]}
    flow = parse_flow(yaml.safe_dump(document), revision=1)
    ((place, _, kind),) = scheduled(flow)
    return plan_of(flow, place, kind, Surroundings(), render)


def state(**fields: Any) -> TriggerState:
    base = TriggerState(
        uid="main/io.test/flow/trigger", namespace="io.test", flow_id="flow", trigger_id="trigger", flow_revision=1,
        next_evaluation_date=at("10:00:00"), version=3,
    )  # fmt: skip
    return msgspec.structs.replace(base, **fields)


def test_a_date_that_has_come_fires_and_locks() -> None:
    """The id is a function of trigger and date; the next date is stored with the lock."""
    first, second = due(state(), plan(), NOW, render), due(state(), plan(), NOW + timedelta(seconds=9), render)

    (fire,) = first.effects
    assert isinstance(fire, Fire)
    assert first.state is not None
    assert {"date": "2024-07-15T10:00:00Z", "next": "2024-07-15T11:00:00Z", "previous": "2024-07-15T09:00:00Z"} == (
        fire.variables
    )
    assert (True, fire.execution_id, at("11:00:00"), 4) == (
        first.state.locked, first.state.execution_id, first.state.next_evaluation_date, first.state.version
    )  # fmt: skip
    assert fire.execution_id == second.effects[0].execution_id


@pytest.mark.parametrize(
    ("fields", "trigger"),
    [
        ({"disabled": True}, {}),
        ({"locked": True, "execution_id": "x"}, {}),
        ({"next_evaluation_date": at("11:00:00")}, {}),
        ({"next_evaluation_date": None}, {}),
        ({}, {"disabled": True}),
        ({"backfill": Backfill(start=at("08:00:00"), end=NOW, current_date=at("08:00:00"), paused=True)}, {}),
    ],
)
def test_what_is_not_due_changes_nothing(fields: dict[str, Any], trigger: dict[str, Any]) -> None:
    """Disabled, locked, early, without a date, or paused."""
    before = state(**fields)
    assert (before, ()) == due(before, plan(**trigger), NOW, render)


def test_a_condition_that_is_false_moves_on_without_an_execution() -> None:
    """The date is evaluated, the next that counts is stored."""
    before = state(next_evaluation_date=at("09:00:00"))
    decision = due(before, plan(when="{{ even }}"), NOW, render)
    assert decision.state is not None
    assert ((), at("09:00:00"), at("10:00:00")) == (
        decision.effects, decision.state.evaluated_at, decision.state.next_evaluation_date
    )  # fmt: skip


def test_a_condition_that_cannot_be_evaluated_makes_a_failed_execution() -> None:
    """Its author sees the reason; the schedule goes on unlocked."""
    decision = due(state(), plan(when="{{ fail }}"), NOW, render)
    (fire,) = decision.effects
    assert isinstance(fire, Fire)
    assert fire.failed is not None
    assert "It fails." in fire.failed
    assert decision.state is not None
    assert (False, at("11:00:00")) == (decision.state.locked, decision.state.next_evaluation_date)


def test_a_date_that_is_too_late_is_skipped_and_told() -> None:
    """`lateMaximumDelay` leaves out what is older."""
    decision = due(state(), plan(lateMaximumDelay="PT10M"), NOW, render)
    assert decision.state is not None
    assert at("11:00:00") == decision.state.next_evaluation_date
    assert isinstance(decision.effects[0], Note)


@pytest.mark.parametrize(
    ("recover", "expected"), [("ALL", at("07:00:00")), ("LAST", at("10:00:00")), ("NONE", at("11:00:00"))]
)
def test_missed_dates_are_treated_as_the_author_wants(recover: str, expected: datetime) -> None:
    """After a standstill: all of them, the last, or none."""
    before = state(next_evaluation_date=at("07:00:00"))
    decision = taken_over(before, plan(recoverMissedSchedules=recover), NOW, render)
    assert decision.state is not None
    assert expected == decision.state.next_evaluation_date


def test_a_date_that_is_late_by_a_takeover_is_not_missed() -> None:
    """NONE does not lose a date to the seconds in which another scheduler takes over."""
    before = state(next_evaluation_date=at("10:00:00"))
    late = taken_over(before, plan(recoverMissedSchedules="NONE"), at("10:00:09"), render, timedelta(seconds=30))
    assert before.next_evaluation_date == late.state.next_evaluation_date


def test_a_new_trigger_waits_for_its_first_date() -> None:
    """A schedule never fires when it is made."""
    decision = follow(None, plan(), NOW, render)
    assert decision.state is not None
    assert (at("11:00:00"), 1) == (decision.state.next_evaluation_date, decision.state.version)


def test_a_backfill_fires_inside_its_bounds_and_gives_the_date_back() -> None:
    """One date at a time, from start to end, both included."""
    command = TriggerCommand(
        trigger_uid="t",
        at=NOW,
        command="backfill-create",
        data={"start": "2024-07-14T22:00:00Z", "end": at("00:00:00")},
    )
    decision = decide(state(next_evaluation_date=at("11:00:00")), plan(allowConcurrent=True), command, NOW, render)
    hours = []
    for _ in range(10):
        assert decision.state is not None
        decision = due(decision.state, plan(allowConcurrent=True), NOW, render)
        hours += [effect.date.hour for effect in decision.effects if isinstance(effect, Fire)]
    assert [22, 23, 0] == hours
    assert decision.state is not None
    assert (None, at("11:00:00")) == (decision.state.backfill, decision.state.next_evaluation_date)


def test_a_backfill_shows_the_date_at_hand_and_ends_with_the_date_that_follows_now() -> None:
    """A backfill that kept no date of the schedule aside does not leave one of its own behind."""
    backfill = Backfill(start=at("09:00:00"), end=at("10:00:00"), current_date=at("09:00:00"))
    running = state(next_evaluation_date=at("09:00:00"), backfill=backfill)
    first = due(running, plan(allowConcurrent=True), NOW, render).state
    assert first is not None
    assert at("10:00:00") == first.next_evaluation_date
    last = due(first, plan(allowConcurrent=True), NOW, render).state
    assert last is not None
    assert (None, at("11:00:00")) == (last.backfill, last.next_evaluation_date)


def test_an_answer_of_a_worker_fires_locks_and_sets_the_next_evaluation() -> None:
    """Nothing found: the lock goes; an error is told, and with `failOnTriggerError` an execution fails."""
    waiting = state(kind="POLLING", locked=True, evaluating_since=NOW)
    found = decide(waiting, plan(), TriggerEvaluated(trigger_uid="t", at=NOW, variables={"a": 1}), NOW, render)
    assert found.state is not None
    assert found.state.locked
    assert isinstance(found.effects[0], Fire)
    nothing = decide(waiting, plan(), TriggerEvaluated(trigger_uid="t", at=NOW), NOW, render)
    assert nothing.state is not None
    assert not nothing.state.locked
    wrong = TriggerEvaluated(trigger_uid="t", at=NOW, error="It broke.")
    assert isinstance(decide(waiting, plan(), wrong, NOW, render).effects[0], Note)
    (failed,) = decide(waiting, plan(failOnTriggerError=True), wrong, NOW, render).effects
    assert isinstance(failed, Fire)
    assert "It broke." == failed.failed


EVENTS: list[TriggerEvent] = [
    *(
        TriggerCommand(trigger_uid="t", at=NOW, command=name)
        for name in ("enable", "disable", "unlock", "restart", "backfill-pause", "backfill-continue", "backfill-delete")
    ),
    TriggerCommand(trigger_uid="t", at=NOW, command="backfill-create", data={"start": "2024-07-15T01:00:00Z"}),
    TriggerCommand(trigger_uid="t", at=NOW, command="backfill-create", data={"end": "nonsense"}),
    TriggerCommand(trigger_uid="t", at=NOW, command="unheard of"),
    TriggeredExecutionEnded(trigger_uid="t", at=NOW, execution_id="other", state=State.SUCCESS),
    TriggerEvaluated(trigger_uid="t", at=NOW),
    FlowChanged(trigger_uid="t", at=NOW, revision=1),
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(EVENTS), st.none()), max_size=25))
def test_whatever_happens_nothing_is_stuck_and_no_date_fires_twice(events: list[TriggerEvent | None]) -> None:
    """After any events, an end of its execution and `enable`, the trigger has something that wakes it."""
    current, now, the_plan = state(), NOW, plan()
    fired: list[str] = []
    for event in events:
        now += timedelta(minutes=17)
        decision = (
            due(current, the_plan, now, render) if event is None else decide(current, the_plan, event, now, render)
        )
        assert decision.state is not None
        assert decision.state.version in (current.version, current.version + 1)
        fired += [effect.execution_id for effect in decision.effects if isinstance(effect, Fire)]
        current = decision.state
    for last in (
        TriggeredExecutionEnded(trigger_uid="t", at=now, execution_id=current.execution_id or "", state=State.SUCCESS),
        TriggerCommand(trigger_uid="t", at=now, command="enable"),
        TriggerCommand(trigger_uid="t", at=now, command="backfill-continue"),
    ):
        changed = decide(current, the_plan, last, now, render).state
        assert changed is not None
        current = changed

    assert len(fired) == len(set(fired))
    assert wake_at(current, the_plan) is not None
