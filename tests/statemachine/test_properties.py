"""What holds for every order of events: nothing is lost, doubled or stuck."""

from __future__ import annotations

import itertools
import random
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.statemachine.flows import flow, group, task
from tests.statemachine.machine import EXECUTION, Machine
from tiercel.messages import execution_event as events
from tiercel.model.state import EXECUTION_TRANSITIONS, TASK_RUN_TRANSITIONS, State

LOOP = group("ForEach", "each", "x", "y", values=["1", "2", "3"], concurrencyLimit=2)
NESTED = flow(
    "first",
    group("Parallel", "par", group("Sequential", "seq", "s1", "s2"), LOOP),
    group("AllowFailure", "allow", task("may", retry={"type": "constant", "interval": "PT1S", "maxAttempts": 2})),
    "last",
    errors=[task("e")],
    **{"finally": [task("z")]},
)


def walk(machine: Machine, chance: random.Random, *, duplicate: bool, kill: bool, reload: bool) -> None:
    """Let workers take and end jobs in a random order until the execution is over."""
    running = []
    for step in range(500):
        if machine.head is not None and machine.head.done:
            return
        choice = chance.random()
        if machine.jobs and (choice < 0.5 or not running):
            machine.jobs.rotate(chance.randrange(len(machine.jobs)))
            job = machine.jobs.popleft()
            machine.start(job)
            running.append(job)
        elif running:
            job = running.pop(chance.randrange(len(running)))
            state = State.FAILED if chance.random() < 0.15 else State.SUCCESS
            machine.finish(job, state)
            if duplicate and chance.random() < 0.5:
                machine.finish(job, chance.choice([State.SUCCESS, State.FAILED]))
                machine.start(job)
        else:
            machine.now += timedelta(seconds=1)
            machine.pass_time(1)
        if reload and chance.random() < 0.2:
            machine.reload()
        if kill and step == 12:
            machine.step(events.KillRequested(execution_id=EXECUTION, at=machine.now))
    raise AssertionError(f"the execution is stuck: {machine.state}, {machine.states()}")


def check(machine: Machine) -> None:
    """Only edges of the tables were walked, every run has ended, and each task ran once per value."""
    assert machine.head is not None
    for states, table in [
        (machine.history, EXECUTION_TRANSITIONS),
        *(([c.state for c in r.run.history], TASK_RUN_TRANSITIONS) for r in machine.rows.values()),
    ]:
        for before, after in itertools.pairwise(states):
            assert after in table[before]
    assert all(record.run.state.is_terminated for record in machine.rows.values())
    names = [(record.run.task_id, record.run.value) for record in machine.rows.values()]
    assert len(names) == len(set(names))
    assert machine.entry.aggregate is None or not [
        r for r in machine.entry.aggregate.runs.values() if not r.run.state.is_terminated
    ]


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**9), duplicate=st.booleans(), kill=st.booleans(), reload=st.booleans())
def test_any_order_of_events_comes_to_an_end(seed: int, duplicate: bool, kill: bool, reload: bool) -> None:
    """Random interleavings, repeated and late messages, kills and takeovers by another executor all end."""
    machine = Machine(NESTED).create()

    walk(machine, random.Random(seed), duplicate=duplicate, kill=kill, reload=reload)

    check(machine)
    if kill:
        assert machine.state in (State.KILLED, State.FAILED, State.SUCCESS, State.WARNING)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_reading_an_execution_again_changes_nothing(seed: int) -> None:
    """An executor that takes over decides the same as the one that had it in memory."""
    plain, taken_over = Machine(NESTED).create(), Machine(NESTED).create()

    walk(plain, random.Random(seed), duplicate=False, kill=False, reload=False)
    chance = random.Random(seed)
    original = taken_over.step

    def step(event):
        draft = original(event)
        taken_over.reload()
        return draft

    taken_over.step = step
    walk(taken_over, chance, duplicate=False, kill=False, reload=False)

    assert plain.states() == taken_over.states()
    assert plain.history == taken_over.history
