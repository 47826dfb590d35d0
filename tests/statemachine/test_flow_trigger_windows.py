"""Flow triggers of several upstream executions: what is met in windows, how long it counts, and when it is missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.statemachine.flows import flow
from tests.statemachine.machine import EXECUTION, Machine
from tests.statemachine.upstream import NOON, ON_A, Listening, condition, depends, upstream
from tiercel.condition.window import bounds_of
from tiercel.errors import InvalidFlow
from tiercel.executor.core import misses
from tiercel.executor.core.listening import Listeners
from tiercel.messages.execution_event import CreateExecution, TaskFinished
from tiercel.model.state import State
from tiercel.plugins.core.trigger.flow import FlowTrigger


def test_all_dependencies_must_be_met_and_then_anew() -> None:
    """One flow alone, however often, starts nothing; both do, once."""
    listening = Listening(depends("a", "b"))

    assert [] == listening.hears(upstream("a"))
    assert [] == listening.hears(upstream("a", id="a-2"))
    (started,) = listening.hears(upstream("b", outputs={"k": "v"}))
    assert [] == listening.hears(upstream("b", id="b-2"))
    assert started.trigger is not None
    assert {"b": {"k": "v"}} == started.trigger.variables["outputs"]


def test_outputs_of_earlier_dependencies_are_kept() -> None:
    """The variables hold the outputs of every flow that met a dependency of the window."""
    listening = Listening(depends("a", "b"))

    listening.hears(upstream("a", outputs={"x": 1}))
    (started,) = listening.hears(upstream("b", outputs={"y": 2}))

    assert started.trigger is not None
    assert {"a": {"x": 1}, "b": {"y": 2}} == started.trigger.variables["outputs"]
    assert listening.empty


@pytest.mark.parametrize(
    ("mode", "heard", "fires"),
    [
        ({"mode": "ANY"}, "b", True),
        ({"mode": "AT_LEAST", "minSatisfied": 2}, "c", False),
        ({"mode": "AT_LEAST", "minSatisfied": 2}, "ac", True),
        ({"mode": "ALL"}, "ac", False),
    ],
)
def test_the_mode_says_how_many_are_enough(mode: dict[str, Any], heard: str, fires: bool) -> None:
    """ANY needs one, AT_LEAST so many as it says, ALL every one."""
    listening = Listening({**depends("a", "b", "c"), **mode})

    started = [one for flow_id in heard for one in listening.hears(upstream(flow_id))]

    assert fires is bool(started)


def test_what_was_met_before_the_window_ended_is_forgotten() -> None:
    """A window of an hour that is over begins anew."""
    listening = Listening({**depends("a", "b"), "window": {"every": "PT1H"}})

    listening.hears(upstream("a"))

    assert [] == listening.hears(upstream("b"), after=timedelta(hours=1))
    assert 1 == len(listening.hears(upstream("a", id="a-2"), after=timedelta(minutes=90)))


def test_a_window_that_fires_once_rests_until_its_end() -> None:
    """Within it nothing more is started; the next one fires again."""
    listening = Listening({**depends("a"), "window": {"every": "PT1H", "fireOnce": True}})

    assert 1 == len(listening.hears(upstream()))
    assert [] == listening.hears(upstream(id="a-2"), after=timedelta(minutes=5))
    assert 1 == len(listening.hears(upstream(id="a-3"), after=timedelta(hours=1)))


def test_preconditions_that_are_not_reset_fire_with_each_that_is_met_again() -> None:
    """After the first success each upstream execution that meets one starts another."""
    before = {"id": "both", "resetOnSuccess": False, "flows": [{"namespace": "up", "flowId": i} for i in "ab"]}
    listening = Listening({"preconditions": before})

    assert [0, 1, 1] == [len(listening.hears(upstream(flow_id))) for flow_id in "aba"]
    assert [] == listening.told(upstream("c"))


def test_a_multiple_condition_collects_in_its_window() -> None:
    """Its conditions may be met by different executions."""
    inner = {name: condition("ExecutionFlow", namespace="up", flowId=name) for name in "ab"}
    listening = Listening({"conditions": [condition("MultipleCondition", id="both", conditions=inner)]})

    assert [] == listening.hears(upstream("a"))
    (started,) = listening.hears(upstream("b"))
    assert started.trigger is not None
    assert "b-1" == started.trigger.variables["executionId"]
    assert listening.empty


DEADLINE = {**depends("a", "b"), "window": {"deadline": "13:00:00"}, "onMiss": {"labels": {"late": "yes"}}}


def test_a_deadline_that_passes_unmet_fails_an_execution() -> None:
    """Once for each day, with the labels of `onMiss`; days before the trigger was first seen do not count."""
    listening = Listening(DEADLINE)
    yesterday, today = NOON - timedelta(hours=3), NOON + timedelta(hours=2)

    assert [] == listening.ends(yesterday)
    listening.hears(upstream("a"))
    (started,) = listening.ends(today)
    assert [] == listening.ends(today + timedelta(minutes=1))
    (later,) = listening.ends(today + timedelta(days=1))

    assert started.failed is not None
    assert "2026-03-04T13:00:00Z" in started.failed
    assert ("late", "yes") in started.labels
    assert started.execution_id != later.execution_id


def test_a_deadline_that_was_met_is_not_missed() -> None:
    """What fired within the window is enough."""
    listening = Listening(DEADLINE)
    listening.ends(NOON - timedelta(hours=3))

    assert [0, 1] == [len(listening.hears(upstream(flow_id))) for flow_id in "ab"]

    assert [] == listening.ends(NOON + timedelta(hours=2))


@pytest.mark.parametrize(
    ("window", "due"),
    [
        ({"deadline": "13:00:00"}, NOON + timedelta(hours=1)),
        ({"deadline": "11:00:00"}, NOON + timedelta(hours=23)),
        ({"from": "09:00:00", "to": "12:30:00"}, NOON + timedelta(minutes=30)),
        ({"every": "PT1H"}, NOON + timedelta(hours=1, milliseconds=-1)),
    ],
)
def test_a_window_is_judged_a_moment_after_its_end(window: dict[str, Any], due: datetime) -> None:
    """The moment is for news that is still under way."""
    (trigger,) = misses.watched(Listening({**depends("a"), "window": window, "onMiss": {}}).plan.flow)

    assert due + misses.GRACE == misses.next_end(trigger, NOON)
    judged = misses.last_window(trigger, misses.next_end(trigger, NOON))
    assert judged is not None
    assert due == judged.end


def test_a_trigger_that_is_gone_forgets_what_it_has_met() -> None:
    """An event that was sent before the flow changed starts nothing and leaves nothing."""
    listening = Listening(depends("a", "b"))
    listening.hears(upstream("a"))
    (sent,) = listening._told(upstream("b"))
    listening.plan = Listening().plan

    assert [] == listening.decide(sent.message)
    assert listening.empty


def test_an_execution_tells_every_state_that_it_comes_into() -> None:
    """A draft notes each change of state, so that one that lasts for a moment is heard too."""
    machine = Machine(flow("a"))
    created = machine.step(
        CreateExecution(execution_id=EXECUTION, at=NOON, namespace="up", flow_id="a", flow_revision=1)
    )
    job = machine.jobs.popleft()
    machine.start(job)
    ended = machine.step(
        TaskFinished(execution_id=EXECUTION, at=NOON, seq=job.seq, attempt=1, worker="w1", state=State.SUCCESS)
    )
    listeners = Listeners([Listening({**ON_A, "states": ["RUNNING", "SUCCESS"]}).plan.flow])

    heard = [*listeners.told(created.execution, created.moves), *listeners.told(ended.execution, ended.moves)]

    assert [State.RUNNING, State.SUCCESS] == [each.message.upstream.state for each in heard]


def test_when_of_a_dependency_looks_at_the_flow_that_it_waits_for() -> None:
    """There `flow` and the outputs of `execution` are of the upstream execution."""
    when = "{{ flow.id == 'a' and flow.namespace == 'up' and execution.outputs.rows > 2 and outputs.rows > 2 }}"
    listening = Listening({"dependsOn": [{"states": ["SUCCESS"], "when": when}]})

    assert [] == listening.hears(upstream("b", outputs={"rows": 3}))
    assert [] == listening.hears(upstream("a", outputs={"rows": 1}))
    assert 1 == len(listening.hears(upstream("a", outputs={"rows": 3})))


@pytest.mark.parametrize(
    ("every", "offset", "start"),
    [("PT1H", "PT0S", 12), ("PT6H", "PT2H", 8), ("PT1H", "-PT4H", 8), ("PT6H", "PT13H", 7 + 12)],
)
def test_a_window_lies_as_many_lengths_away_as_its_offset_holds(every: str, offset: str, start: int) -> None:
    """An offset shorter than the window only says where it begins: it holds the present."""
    trigger = Listening({**depends("a"), "window": {"every": every, "offset": offset}}).plan.flow.triggers[0]
    assert isinstance(trigger, FlowTrigger)

    found = bounds_of(trigger.window, NOON)

    assert NOON.replace(hour=0) + timedelta(hours=start) == found.start


def test_a_window_follows_the_clocks_of_its_zone() -> None:
    """A deadline of nine in Paris is eight in winter and seven in summer, in UTC; a zone that is none is refused."""
    window = {"deadline": "09:00:00", "timezone": "Europe/Paris"}

    def end(now: datetime) -> datetime:
        trigger = Listening({**depends("a"), "window": window}).plan.flow.triggers[0]
        assert isinstance(trigger, FlowTrigger)
        return bounds_of(trigger.window, now).end

    assert datetime(2026, 1, 5, 8, tzinfo=UTC) == end(datetime(2026, 1, 5, 3, tzinfo=UTC))
    assert datetime(2026, 7, 6, 7, tzinfo=UTC) == end(datetime(2026, 7, 6, 3, tzinfo=UTC))
    window = {"deadline": "09:00:00+05:00"}
    assert datetime(2026, 1, 5, 4, tzinfo=UTC) == end(datetime(2026, 1, 5, 3, tzinfo=UTC))
    window = {"deadline": "09:00:00", "timezone": "Europe/Paris"}
    with pytest.raises(InvalidFlow, match="timezone 'Nowhere' is not a valid time-zone ID"):
        Listening({**depends("a"), "window": {**window, "timezone": "Nowhere"}})
