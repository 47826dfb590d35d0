"""What every state store promises."""

# ruff: noqa: PT012, a transaction fails where its block ends

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tests.contract.backends import Backend
from tests.contract.samples import (
    NOW,
    SERVICE,
    changes,
    event,
    head,
    job,
    lease_for,
    leases_of,
    minutes,
    output,
    run,
)
from tests.contract.steps import arrived, claimed, waiting
from tests.contract.steps import seqs as of_jobs
from tests.patience import FOR_EVER_S, PATIENCE_S
from tiercel.messages.topics import EXECUTION_EVENT, HISTORY, partition_of
from tiercel.messages.worker_job import TaskJob
from tiercel.model.live import OutputKind, Timer, TimerKind
from tiercel.model.state import State
from tiercel.queue.base import Lease, Outgoing
from tiercel.statestore.base import Changes, Held, LeaseLost, Loaded, StaleState

ALL = range(16)


async def saved(backend: Backend, *batch: Changes) -> list[Lease]:
    """Save changes under leases of all partitions, and return the leases."""
    leases = await leases_of(backend.leases)
    async with backend.state.transaction(leases) as unit:
        for one in batch:
            unit.save(one)
    return leases


async def seqs(backend: Backend, execution_id: str) -> list[int]:
    return [record.run.seq for record in await backend.state.runs(execution_id)]


async def test_what_is_saved_is_loaded(backend: Backend) -> None:
    """Head and task runs come back as they were; unknown executions are absent."""
    await saved(backend, changes("a", None, new_runs=[run(0), run(1)]), changes("any text, überall", None))

    found = await backend.state.load(["a", "any text, überall", "unknown"])

    assert {
        "a": Loaded(head=head("a"), runs=(run(0), run(1))),
        "any text, überall": Loaded(head=head("any text, überall"), runs=()),
    } == found


async def test_folded_runs_are_not_loaded_but_listed(backend: Backend) -> None:
    """A loop's ended children leave memory."""
    await saved(backend, changes("a", None, new_runs=[run(0), run(1), run(2, folded=True)]))
    await saved(backend, changes("a", 1, changed_runs=[run(1, State.SUCCESS, folded=True)]))

    loaded = (await backend.state.load(["a"]))["a"]

    assert (run(0),) == loaded.runs
    assert [run(0), run(1, State.SUCCESS, folded=True), run(2, folded=True)] == await backend.state.runs("a")


async def test_an_update_moves_the_version(backend: Backend) -> None:
    """Followers see version and state without the records."""
    await saved(backend, changes("a", None))
    await saved(backend, changes("a", 1, head("a", 2, State.PAUSED)))

    assert {"a": (2, State.PAUSED)} == await backend.state.versions(["a", "b"])


@pytest.mark.parametrize("was", [None, 0, 2])
async def test_a_save_at_another_version_is_refused_whole(backend: Backend, was: int | None) -> None:
    """StaleState, and nothing of the transaction remains: no message, no acknowledgement, no other record."""
    await saved(backend, changes("a", None))
    await backend.queue.emit(event("a", 1))
    read = await arrived(backend.queue, 1)
    leases = await leases_of(backend.leases)

    with pytest.raises(StaleState):
        async with backend.state.transaction(leases) as unit:
            unit.acknowledge(EXECUTION_EVENT, read)
            unit.save(changes("b", None, jobs=[job("b")], timers=[_timer("b")]))
            unit.save(changes("a", was, head("a", 9)))
            unit.emit(event("c", 2))

    assert {"a": (1, State.RUNNING)} == await backend.state.versions(["a", "b"])
    assert [1] == minutes(await arrived(backend.queue, 1))
    assert 1 == await waiting(backend.queue, "execution_event")
    assert 0 == await waiting(backend.queue)
    assert [] == await backend.state.timers(SERVICE, ALL, NOW + timedelta(days=1), 10)


async def test_a_stolen_lease_fails_the_transaction_whole(backend: Backend) -> None:
    """LeaseLost, also when only one of several leases is lost, and nothing remains."""
    leases = await leases_of(backend.leases)
    await backend.queue.emit(event("a", 1))
    read = await arrived(backend.queue, 1)
    await backend.leases.release(SERVICE, "i1", [lease_for(leases, "a").partition])
    await backend.leases.announce(SERVICE, "thief", level=1)
    stolen = await backend.leases.take(SERVICE, "thief", level=1, ttl_s=10)
    assert [partition_of("a")] == [lease.partition for lease in stolen]

    with pytest.raises(LeaseLost):
        async with backend.state.transaction(leases) as unit:
            unit.acknowledge(EXECUTION_EVENT, read)
            unit.save(changes("b", None))
            unit.emit(event("c", 2))

    assert {} == await backend.state.versions(["b"])
    assert [1] == minutes(await arrived(backend.queue, 1))
    assert 1 == await waiting(backend.queue, "execution_event")


async def test_an_error_in_the_block_leaves_nothing(backend: Backend) -> None:
    """The transaction happens when the block ends without one."""
    leases = await leases_of(backend.leases)

    with pytest.raises(ZeroDivisionError):
        async with backend.state.transaction(leases) as unit:
            unit.save(changes("a", None))
            raise ZeroDivisionError

    assert {} == await backend.state.load(["a"])


async def test_a_transaction_acknowledges_saves_and_sends(backend: Backend) -> None:
    """All of it is visible after the block, in the order in which it was sent."""
    leases = await leases_of(backend.leases)
    await backend.queue.emit(event("a", 1), event("a", 2))
    read = await arrived(backend.queue, 1, count=1)

    async with backend.state.transaction(leases) as unit:
        unit.acknowledge(EXECUTION_EVENT, read)
        unit.save(changes("a", None, jobs=[job("a", 1)]))
        unit.emit(event("a", 3), event("a", 4))
        unit.send(job("a", 2))

    assert [2, 3, 4] == minutes(await arrived(backend.queue, 3))
    assert {1, 2} == set(of_jobs(await claimed(backend.queue, 2)))


async def test_what_was_acknowledged_before_cannot_be_acknowledged_again(backend: Backend) -> None:
    """Otherwise its effects would happen twice."""
    leases = await leases_of(backend.leases)
    await backend.queue.emit(event("a", 1))
    read = await arrived(backend.queue, 1)
    async with backend.state.transaction(leases) as unit:
        unit.acknowledge(EXECUTION_EVENT, read)

    with pytest.raises(StaleState):
        async with backend.state.transaction(leases) as unit:
            unit.acknowledge(EXECUTION_EVENT, read)
            unit.emit(event("a", 2))

    assert 0 == await waiting(backend.queue, "execution_event")


async def test_an_execution_saved_twice_in_a_transaction_ends_at_the_last(backend: Backend) -> None:
    """The second change is made on top of the first."""
    await saved(
        backend,
        changes("a", None, new_runs=[run(0)]),
        changes("b", None),
        changes("a", 1, new_runs=[run(1)], changed_runs=[run(0, State.SUCCESS)]),
    )

    assert {"a": (2, State.RUNNING), "b": (1, State.RUNNING)} == await backend.state.versions(["a", "b"])
    assert [run(0, State.SUCCESS), run(1)] == await backend.state.runs("a")


async def test_a_changed_run_must_exist_and_a_new_one_must_not(backend: Backend) -> None:
    """Both find bugs of the owner before they do harm."""
    await saved(backend, changes("a", None, new_runs=[run(0)]))

    with pytest.raises(StaleState):
        await saved(backend, changes("a", 1, changed_runs=[run(5)]))
    with pytest.raises(StaleState):
        await saved(backend, changes("a", 1, new_runs=[run(0)]))

    assert {"a": (1, State.RUNNING)} == await backend.state.versions(["a"])


async def test_removed_runs_and_outputs_go_before_new_ones_come(backend: Backend) -> None:
    """A restart may use the places of runs that it removes."""
    await saved(
        backend,
        changes("a", None, new_runs=[run(0), run(1), run(2)], outputs=[output(0), output(1), output(2)]),
    )

    await saved(
        backend,
        changes(
            "a", 1, removed_runs=[1, 2], new_runs=[run(1, State.CREATED)], removed_outputs=[1, 2], outputs=[output(2)]
        ),
    )

    assert [run(0), run(1, State.CREATED)] == await backend.state.runs("a")
    assert [output(0), output(2)] == await backend.state.outputs("a")


async def test_outputs_are_found_by_run_by_task_and_by_kind(backend: Backend) -> None:
    """In order of `seq`; a later value replaces the former."""
    kept = [output(3, "x"), output(1, "y"), output(2, "x", 5), output(2, "x", 7, OutputKind.VALUES)]
    await saved(
        backend, changes("a", None, outputs=[output(2, "x", 4), *kept]), changes("b", None, outputs=[output(1)])
    )

    assert [kept[1], kept[2], kept[0]] == await backend.state.outputs("a")
    assert [kept[2]] == await backend.state.outputs("a", seqs=[2, 9])
    assert [kept[2], kept[0]] == await backend.state.outputs("a", task_ids=["x"])
    assert [kept[3]] == await backend.state.outputs("a", seqs=[2], kind=OutputKind.VALUES)
    assert [] == await backend.state.outputs("a", seqs=[])


def _timer(owner: str, minute: int = 0, kind: TimerKind = TimerKind.RETRY, subject: int = 0) -> Timer:
    return Timer(owner=owner, kind=kind, subject=subject, due=NOW + timedelta(minutes=minute))


async def test_timers_are_read_in_the_order_in_which_they_come_due(backend: Backend) -> None:
    """Of these partitions and this service, before an instant, at most so many."""
    await saved(
        backend,
        changes("a", None, timers=[_timer("a", 3), _timer("a", 1, subject=1), _timer("a", 60, subject=2)]),
        changes("b", None, timers=[_timer("b", 2)]),
    )
    until = NOW + timedelta(minutes=10)

    found = await backend.state.timers(SERVICE, ALL, until, 10)

    assert [_timer("a", 1, subject=1), _timer("b", 2), _timer("a", 3)] == found
    assert found[:2] == await backend.state.timers(SERVICE, ALL, until, 2)
    assert [_timer("b", 2)] == await backend.state.timers(SERVICE, [partition_of("b")], until, 10)
    assert [] == await backend.state.timers("scheduler", ALL, until, 10)
    assert [_timer("a", 1, subject=1)] == await backend.state.timers(SERVICE, ALL, NOW + timedelta(minutes=2), 10)


async def test_a_timer_can_be_moved_and_cleared(backend: Backend) -> None:
    """What is cleared and set in one change is set."""
    await saved(backend, changes("a", None, timers=[_timer("a", 1), _timer("a", 2, TimerKind.SLA)]))

    await saved(
        backend,
        changes(
            "a",
            1,
            cleared_timers=[(TimerKind.RETRY, 0), (TimerKind.SLA, 0), (TimerKind.PAUSE_END, 4)],
            timers=[_timer("a", 5)],
        ),
    )

    assert [_timer("a", 5)] == await backend.state.timers(SERVICE, ALL, NOW + timedelta(days=1), 10)


async def test_held_tells_what_workers_have(backend: Backend) -> None:
    """By partition and worker; what ended is no longer held."""
    mine = Held(execution_id="a", seq=1, attempt=1, worker="w1")
    other = Held(execution_id="b", seq=2, attempt=3, worker="w2")
    gone = Held(execution_id="a", seq=2, attempt=1, worker="w1")
    await saved(backend, changes("a", None, held=[mine, gone]), changes("b", None, held=[other]))
    again = Held(execution_id="a", seq=1, attempt=2, worker="w3")
    await saved(backend, changes("a", 1, unheld=[2, 1], held=[again]))

    assert {again, other} == set(await backend.state.held(ALL))
    assert [other] == await backend.state.held(ALL, ["w2", "w9"])
    assert [again] == await backend.state.held([partition_of("a")])
    assert [] == await backend.state.held(ALL, ["w1"])


async def test_revoking_takes_back_unclaimed_jobs(backend: Backend) -> None:
    """Those of named task runs, or all of the execution; never another's."""
    await saved(
        backend,
        changes("a", None, jobs=[job("a", 1), job("a", 2), job("a", 3)]),
        changes("b", None, jobs=[job("b", 1), job("b", 2)]),
        changes("c", None, jobs=[job("c", 1)]),
    )

    await saved(backend, changes("a", 1, revoked=[1, 3, 8]), changes("b", 1, revoked=[]), changes("c", 1))

    found = await claimed(backend.queue, 2)
    assert [("a", 2), ("c", 1)] == [(task.execution_id, task.seq) for task in found if isinstance(task, TaskJob)]
    assert 0 == await waiting(backend.queue)


async def test_revoked_jobs_make_room_for_new_ones_of_the_same_change(backend: Backend) -> None:
    """A resubmission revokes the old job and sends the next."""
    await saved(backend, changes("a", None, jobs=[job("a", 1)]))

    await saved(backend, changes("a", 1, revoked=[1], jobs=[job("a", 1)]))

    assert 1 == await waiting(backend.queue)
    assert 1 == len(await claimed(backend.queue, 1))


async def test_a_deleted_execution_leaves_nothing(backend: Backend) -> None:
    """Runs, outputs, timers and what is held go with it; others stay."""
    for name in ("a", "b"):
        held = [Held(execution_id=name, seq=0, attempt=1, worker="w")]
        full = changes(name, None, held=held, timers=[_timer(name)], new_runs=[run(0)], outputs=[output(0)])
        await saved(backend, full)

    await saved(backend, changes("a", 1, deleted=True))

    assert {"b"} == set(await backend.state.load(["a", "b"]))
    assert ([], []) == (await backend.state.runs("a"), await backend.state.outputs("a"))
    assert ["b"] == [row.execution_id for row in await backend.state.held(ALL)]
    assert ["b"] == [row.owner for row in await backend.state.timers(SERVICE, ALL, NOW + timedelta(days=1), 10)]
    with pytest.raises(StaleState):
        await saved(backend, changes("b", 7, deleted=True))


async def test_ended_executions_are_found_and_forgotten(backend: Backend) -> None:
    """Only what has ended can be forgotten, with everything that belongs to it."""
    ends = {"a": 1, "b": 3, "c": 2}
    for name, minute in ends.items():
        ended = head(name, 1, State.SUCCESS, NOW + timedelta(minutes=minute))
        await saved(backend, changes(name, None, ended, new_runs=[run(0)]))
    await saved(backend, changes("lives", None, new_runs=[run(0)]))

    found = await backend.state.ended_before(ALL, NOW + timedelta(minutes=3), 10)
    await backend.state.forget_ended([("a", 1), ("c", 7), ("lives", 1), ("unknown", 1)])

    assert [("a", 1), ("c", 1)] == found
    assert [("a", 1)][:0] == await backend.state.ended_before([partition_of("a")], NOW, 10)
    assert {"b", "c", "lives"} == set(await backend.state.versions(["a", "b", "c", "lives"]))
    assert ([], [0]) == (await seqs(backend, "a"), await seqs(backend, "lives"))


async def test_a_restarted_execution_has_not_ended(backend: Backend) -> None:
    """Leaving the terminal state takes it from the list."""
    await saved(backend, changes("a", None, head("a", 1, State.FAILED)))
    await saved(backend, changes("a", 1, head("a", 2, State.RESTARTED)))

    await backend.state.forget_ended([("a", 1), ("a", 2)])

    assert [] == await backend.state.ended_before(ALL, NOW + timedelta(days=1), 10)
    assert {"a"} == set(await backend.state.versions(["a"]))


async def test_an_ended_execution_that_waits_for_a_timer_is_kept(backend: Backend) -> None:
    """It has ended, but something of it is still to come: the new try of a flow's retry."""
    due = Timer(owner="a", kind=TimerKind.FLOW_RETRY, due=NOW + timedelta(hours=5))
    await saved(backend, changes("a", None, head("a", 1, State.RETRIED), timers=[due]))

    assert [] == await backend.state.ended_before(ALL, NOW + timedelta(days=1), 10)
    await saved(backend, changes("a", 1, head("a", 2, State.RETRIED), cleared_timers=[(TimerKind.FLOW_RETRY, 0)]))
    assert [("a", 2)] == await backend.state.ended_before(ALL, NOW + timedelta(days=1), 10)


async def test_a_batch_of_many_executions_is_saved(backend: Backend) -> None:
    """All columns keep their rows together."""
    names = [f"e{number}" for number in range(300)]
    await saved(
        backend,
        *(
            changes(name, None, new_runs=[run(seq) for seq in range(3)], outputs=[output(0, value=number)])
            for number, name in enumerate(names)
        ),
    )
    await saved(backend, *(changes(name, 1, changed_runs=[run(1, State.SUCCESS)]) for name in names))

    found = await backend.state.load(names)

    assert [head(name, 2) for name in names] == [found[name].head for name in names]
    assert {(run(0), run(1, State.SUCCESS), run(2))} == {found[name].runs for name in names}
    assert [output(0, value=299)] == await backend.state.outputs("e299")


async def test_a_transaction_without_leases_has_no_fence(backend: Backend) -> None:
    """A caller that owns nothing may send."""
    async with backend.state.transaction([]) as unit:
        unit.emit(Outgoing(topic=HISTORY, key="a", message=event("a").message))

    assert 1 == len(await arrived(backend.queue, 1, HISTORY))


async def test_who_follows_executions_is_told_of_a_commit(backend: Backend) -> None:
    """In another process, which reads the state and not the topic."""
    follower = (await backend.another()).queue
    await follower.wait(HISTORY, 5)  # the first wait returns as soon as the process hears of the topic
    await follower.wait(HISTORY, 0.01)
    told = asyncio.create_task(follower.wait(HISTORY, FOR_EVER_S))

    async with backend.state.transaction(await leases_of(backend.leases)) as unit:
        unit.emit(Outgoing(topic=HISTORY, key="a", message=event("a").message))

    async with asyncio.timeout(PATIENCE_S):
        await told
