"""Jobs that go to a worker in the transaction that makes them: when, and who dies between which two steps."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from tests.contract.backends import KafkaContract
from tests.contract.samples import event, job, leases_of
from tests.contract.steps import ALL, arrived, claimed, hand_out, seqs, submit, waiting
from tests.contract.test_kafka import hold, pause, room
from tests.patience import until
from tiercel.messages.execution_event import KillRequested
from tiercel.messages.topics import EXECUTION_EVENT
from tiercel.statestore.base import DISPATCHER, LeaseLost


async def ready(contract: KafkaContract, worker: str, slots: int) -> None:
    """Have a worker grant its slots, and the dispatcher find that nothing waits; then let it do nothing more."""
    handout = contract.dispatcher._handout

    async def is_drained() -> bool:
        return handout.is_drained(["default"]) and not handout.turn.locked()

    await contract.queue.claim(worker, ["default"], slots)
    await room(contract.dispatcher, slots)
    await until(is_drained, "nothing to wait")
    await pause(contract.dispatcher)


async def test_a_job_that_need_not_wait_goes_to_its_worker_at_once(kafka_contract: KafkaContract) -> None:
    """Without a dispatcher's transaction; those for which there is no room, or no worker, wait."""
    await ready(kafka_contract, "w", 2)

    jobs = (job("a", 3, rank=1), job("a", 1), job("a", 2), job("a", 4, lane="gpu"))
    started = await hand_out(kafka_contract, *jobs)

    assert [(1, "w"), (2, "w")] == [(told.seq, told.worker) for told in started]
    assert [1, 2] == seqs(await claimed(kafka_contract.queue, 2, 2))
    assert 2 == await waiting(kafka_contract.queue)
    assert 0 == await waiting(kafka_contract.queue, EXECUTION_EVENT.name)


async def test_a_job_does_not_overtake_those_that_wait(kafka_contract: KafkaContract) -> None:
    """What found no room waits, and who comes later waits behind it, even when there is room again."""
    await ready(kafka_contract, "w", 1)
    await hand_out(kafka_contract, job("a", 1), job("a", 2))
    await kafka_contract.queue.claim("w", ["default"], 5)

    assert [] == await hand_out(kafka_contract, job("a", 3))

    assert 2 == await waiting(kafka_contract.queue)
    contract_dispatcher = kafka_contract.dispatch_by(kafka_contract)
    assert [1, 2, 3] == sorted(seqs(await claimed(kafka_contract.queue, 3, 5)))
    assert contract_dispatcher is not kafka_contract.dispatcher


async def test_a_process_that_dispatches_no_more_gives_no_job(kafka_contract: KafkaContract) -> None:
    """Its transaction is refused as a whole; it is decided again, and then its jobs wait for who does."""
    await ready(kafka_contract, "w", 4)
    await kafka_contract.pass_time(60)
    thief = await kafka_contract.another()
    await thief.leases.take(DISPATCHER, "thief", level=1, ttl_s=60)

    with pytest.raises(LeaseLost):
        await hand_out(kafka_contract, job("a", 1))
    assert 0 == await waiting(kafka_contract.queue)
    assert [] == await hand_out(kafka_contract, job("a", 1))

    assert 1 == await waiting(kafka_contract.queue)
    assert [] == await kafka_contract.queue.claim("w", ["default"], 4)


async def test_a_job_that_a_dead_process_has_given_arrives(kafka_contract: KafkaContract) -> None:
    """It died between its commit and its sending: who reads its partitions sends the job, once."""
    other = await kafka_contract.another()
    await ready(kafka_contract, "here", 1)
    listener: Any = other.queue
    await listener.claim("there", ["default"], 2)
    await until(lambda: _knows(kafka_contract, "there"), "the dispatcher to know the worker")
    held = hold(kafka_contract.links[0])

    started = await hand_out(kafka_contract, job("a", 1))
    await other.queue.read(EXECUTION_EVENT, ALL, count=1)
    assert [1] == seqs(await claimed(other.queue, 1, 2, worker="there"))
    await asyncio.gather(*held.let_go())
    await other.queue.emit(event("a"))

    assert [(1, "there")] == [(told.seq, told.worker) for told in started]
    assert [KillRequested] == [type(each.message) for each in await arrived(other.queue, 1)]
    assert [] == await other.queue.claim("there", ["default"], 2)


async def _knows(contract: KafkaContract, worker: str) -> bool:
    """Let the paused dispatcher's process hear what workers say."""
    dispatcher = contract.dispatcher
    while dispatcher._credits:
        dispatcher._roster.hear(await anext(dispatcher._credits))
    return worker in dispatcher._roster.names


async def test_a_transaction_that_is_refused_gives_no_job(kafka_contract: KafkaContract) -> None:
    """What its worker was to be sent is not counted, and the next job is."""
    await ready(kafka_contract, "w", 1)
    stale = await leases_of(kafka_contract.leases)
    await kafka_contract.pass_time(60)
    await leases_of((await kafka_contract.another()).leases, "thief")

    with pytest.raises(LeaseLost):
        async with kafka_contract.state.transaction(stale) as unit:
            assert await unit.hand_out([job("a", 1)])

    kafka_contract.dispatch_by(kafka_contract)
    await submit(kafka_contract, job("a", 2))
    assert [2] == seqs(await claimed(kafka_contract.queue, 1, 1))


async def test_a_transaction_that_is_given_up_gives_no_job(kafka_contract: KafkaContract) -> None:
    """Whoever decides it may fail after the jobs were shared out: others share theirs out nonetheless."""
    await ready(kafka_contract, "w", 1)

    with contextlib.suppress(ZeroDivisionError):
        async with kafka_contract.state.transaction([]) as unit:
            assert await unit.hand_out([job("a", 1)])
            raise ZeroDivisionError

    kafka_contract.dispatch_by(kafka_contract)
    await submit(kafka_contract, job("a", 2))
    assert [2] == seqs(await claimed(kafka_contract.queue, 1, 1))
