"""Triggers that workers run: who is believed, who is taken for gone, and what of them is stopped."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from tests.unit.scheduler.test_decide import NOW, plan, render, state
from tiercel.messages.trigger_event import TriggerAlive, TriggerEvaluated, TriggerEvent, TriggerReturned
from tiercel.model.trigger_state import TriggerState
from tiercel.scheduler.core.decide import Decision, decide, due, wake_at
from tiercel.scheduler.core.effects import Evaluate, Fire, Note, Stop
from tiercel.scheduler.core.plan import Kind, TriggerPlan


def polled(**more: Any) -> TriggerPlan:
    return msgspec.structs.replace(plan(**more), kind=Kind.POLLING, timetable=None, interval=timedelta(minutes=1))


def evaluated(kind: Kind = Kind.POLLING, **more: Any) -> TriggerState:
    return state(kind=kind, locked=True, evaluating_since=NOW, **more)


def told(before: TriggerState, event: TriggerEvent) -> Decision:
    decision = decide(before, polled(), event, event.at, render)
    assert decision.state is not None
    return decision


def alive(seconds: float, worker: str = "w1", evaluation: Any = NOW) -> TriggerAlive:
    return TriggerAlive(trigger_uid="t", at=NOW + timedelta(seconds=seconds), worker=worker, evaluation=evaluation)


def test_a_worker_that_says_so_is_waited_for() -> None:
    """Its name and when it was heard are kept; a third of the patience is its beat."""
    current = told(evaluated(), alive(500)).state
    assert current is not None

    assert "w1" == current.worker_id
    assert NOW + timedelta(seconds=600) == wake_at(current, polled())


def test_a_worker_that_falls_silent_is_stopped_and_another_evaluates() -> None:
    """The old one is named in the stop, so that it does not hit the new one."""
    current = told(evaluated(), alive(0)).state
    assert current is not None
    now = NOW + timedelta(seconds=100)

    decision = due(current, polled(), now, render)

    assert (Stop(worker="w1"), Evaluate(date=now)) == decision.effects
    assert decision.state is not None
    assert (None, None, now) == (
        decision.state.worker_id, decision.state.alive_at, decision.state.evaluating_since,
    )  # fmt: skip


def test_a_condition_that_cannot_be_evaluated_makes_a_failed_execution() -> None:
    """No worker is asked; the next evaluation comes after the interval."""
    decision = due(state(kind=Kind.POLLING), polled(when="{{ fail }}"), NOW, render)

    (fire,) = decision.effects
    assert isinstance(fire, Fire)
    assert "It fails." in (fire.failed or "")
    assert decision.state is not None
    assert (False, NOW + timedelta(minutes=1)) == (decision.state.locked, decision.state.next_evaluation_date)


def test_a_trigger_that_is_handed_back_is_evaluated_at_once() -> None:
    """A draining worker does not make it wait for the patience to end."""
    returned = TriggerReturned(trigger_uid="t", at=NOW, worker="w1", evaluation=NOW)
    current = told(evaluated(), returned).state
    assert current is not None

    assert NOW == wake_at(current, polled())


def test_who_runs_what_nobody_waits_for_is_stopped() -> None:
    """The run is named: the same worker may have the one that is waited for, too."""
    older = NOW - timedelta(minutes=5)
    decision = told(evaluated(), alive(1, "w2", older))

    assert (Stop(worker="w2", evaluation=older),) == decision.effects
    assert decision.state is not None
    assert decision.state.worker_id is None


def test_an_answer_to_an_older_question_changes_nothing() -> None:
    """The question was asked again: the answer to the newer one counts, and starts one execution."""
    older = TriggerEvaluated(trigger_uid="t", at=NOW, variables={"a": 1}, evaluation=NOW - timedelta(minutes=5))
    newer = TriggerEvaluated(trigger_uid="t", at=NOW, variables={"a": 1}, evaluation=NOW)
    ignored = told(evaluated(), older)

    assert () == ignored.effects
    assert ignored.state is not None
    assert [Fire] == [type(effect) for effect in told(ignored.state, newer).effects]


def test_everything_that_a_stream_tells_starts_an_execution_of_its_own() -> None:
    """Even what it tells at the same instant, and what it told before it was stopped; nothing locks it."""
    current = evaluated(Kind.REALTIME)
    fired = []
    for number in (1, 2, 3):
        event = TriggerEvaluated(trigger_uid="t", at=NOW, variables={"n": number}, evaluation=NOW, number=number)
        decision = told(current, event)
        fired += [effect.execution_id for effect in decision.effects if isinstance(effect, Fire)]
        assert decision.state is not None
        current = decision.state

    assert 3 == len(set(fired))
    assert NOW == current.evaluating_since


def test_a_stream_that_fails_rests_and_says_why() -> None:
    """It is listened to again after a minute; what is told then takes the error away."""
    failed = told(
        evaluated(Kind.REALTIME), TriggerEvaluated(trigger_uid="t", at=NOW, error="It is away.", evaluation=NOW)
    )

    assert (Note(level="ERROR", text="It is away."),) == failed.effects
    assert failed.state is not None
    assert "It is away." == failed.state.error
    assert NOW + timedelta(minutes=1) == failed.state.next_evaluation_date
