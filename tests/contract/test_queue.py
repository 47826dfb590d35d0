"""What every queue promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from tests.contract.backends import Backend
from tests.contract.samples import SERVICE, event, job, leases_of, minutes
from tests.contract.steps import ALL, arrived, submit, waiting
from tests.patience import FOR_EVER_S, PATIENCE_S, until
from tiercel.messages.broadcast import FlowUpdated, KillRun
from tiercel.messages.topics import BROADCAST, EXECUTION_EVENT, HISTORY, WORKER_JOB, partition_of
from tiercel.queue.base import Outgoing


def killed(execution_id: str) -> Outgoing:
    return Outgoing(topic=BROADCAST, key="", message=KillRun(execution_id=execution_id))


async def test_messages_of_a_key_are_read_in_the_order_in_which_they_were_emitted(backend: Backend) -> None:
    """Order holds within a call and between calls."""
    await backend.queue.emit(event("a", 1), event("a", 2))
    await backend.queue.emit(event("a", 3))

    found = await arrived(backend.queue, 3, partitions=[partition_of("a")])

    assert [1, 2, 3] == minutes(found)
    assert {"a"} == {delivery.key for delivery in found}


async def test_a_message_is_in_the_partition_of_its_key_only(backend: Backend) -> None:
    """The partition is the CRC-32 of the key modulo their number."""
    await backend.queue.emit(event("a", 1))
    await arrived(backend.queue, 1)

    elsewhere = await backend.queue.read(EXECUTION_EVENT, [p for p in ALL if p != partition_of("a")], count=10)

    assert [] == elsewhere


async def test_reading_without_acknowledging_returns_the_same_again(backend: Backend) -> None:
    """A read takes nothing away."""
    await backend.queue.emit(event("a", 1))
    first = await arrived(backend.queue, 1, partitions=[partition_of("a")])

    second = await backend.queue.read(EXECUTION_EVENT, [partition_of("a")], count=10)

    assert first == second


async def test_a_read_returns_at_most_count_of_each_partition(backend: Backend) -> None:
    """The limit is per partition, and the oldest of each come first."""
    keys = [f"k{number}" for number in range(40)]
    await backend.queue.emit(*(event(key, minute) for minute in range(3) for key in keys))

    everything = await arrived(backend.queue, 120)
    found = await backend.queue.read(EXECUTION_EVENT, ALL, count=2)

    for part in ALL:
        in_order = [delivery for delivery in everything if delivery.partition == part]
        assert in_order[:2] == [delivery for delivery in found if delivery.partition == part]


async def test_a_read_stops_at_its_size(backend: Backend) -> None:
    """About `size` bytes are read, and at least one message."""
    await backend.queue.emit(*(event("a", minute) for minute in range(50)))
    (one, *_) = await arrived(backend.queue, 50)

    found = await backend.queue.read(EXECUTION_EVENT, [partition_of("a")], count=50, size=3 * len(one.body))
    least = await backend.queue.read(EXECUTION_EVENT, [partition_of("a")], count=50, size=1)

    assert 3 == len(found)
    assert 1 == len(least)


async def test_what_is_acknowledged_does_not_come_back(backend: Backend) -> None:
    """The oldest of a partition are acknowledged; what is younger, or in other partitions, stays."""
    leases = await leases_of(backend.leases)
    await backend.queue.emit(event("a", 1), event("a", 2), event("a", 3), event("b", 4))
    found = await arrived(backend.queue, 4)

    done = await backend.queue.acknowledge(EXECUTION_EVENT, [d for d in found if minutes([d])[0] < 3], leases)

    assert done
    assert {3, 4} == set(minutes(await backend.queue.read(EXECUTION_EVENT, ALL, count=10)))
    other = (await backend.another()).queue
    assert {3, 4} == set(minutes(await arrived(other, 2)))
    assert 2 == await waiting(other, "execution_event")


async def test_when_a_lease_is_lost_nothing_is_acknowledged(backend: Backend) -> None:
    """The answer is False, and the new owner reads the messages."""
    leases = await leases_of(backend.leases)
    await backend.queue.emit(event("a", 1))
    found = await arrived(backend.queue, 1)
    await backend.pass_time(60)
    await leases_of(backend.leases, "thief")

    done = await backend.queue.acknowledge(EXECUTION_EVENT, found, leases)

    assert not done
    assert [1] == minutes(await arrived(backend.queue, 1))
    assert 1 == await waiting(backend.queue, "execution_event")


async def test_an_undecodable_message_is_delivered_with_its_error(backend: Backend) -> None:
    """Its body and key are kept, so that it can be buried."""
    await backend.queue.emit(Outgoing(topic=EXECUTION_EVENT, key="a", message={"type": "Nobody"}))

    (found,) = await arrived(backend.queue, 1)

    assert found.message is None
    assert "cannot be decoded" in str(found.error)
    assert ("a", {"type": "Nobody"}) == (found.key, msgspec.msgpack.decode(found.body))


async def test_a_buried_message_is_a_dead_letter_and_counted(backend: Backend) -> None:
    """Burying copies: the message is acknowledged apart from it."""
    await backend.queue.emit(event("a", 1))
    (found,) = await arrived(backend.queue, 1)

    await backend.queue.bury(EXECUTION_EVENT, found, "because")

    assert [("execution_event", "a", "because", found.body)] == await backend.dead_letters()
    depths = {depth.topic: depth.messages for depth in await backend.queue.depths()}
    assert (1, 1) == (depths["dead_letter"], depths["execution_event"])


async def test_a_newer_message_stays_with_all_that_follows_it(backend: Backend) -> None:
    """It is no dead letter, nothing of its partition overtakes it, and the partition goes to newer instances."""
    newer = msgspec.structs.replace(EXECUTION_EVENT, level=2)
    part = partition_of("a")
    await leases_of(backend.leases)
    await backend.queue.emit(event("a", 1))
    await backend.queue.emit(msgspec.structs.replace(event("a", 2), topic=newer))
    await backend.queue.emit(event("a", 3))

    assert [1, 2, 3] == minutes(await arrived(backend.queue, 3, newer, [part]))

    found = await backend.queue.read(EXECUTION_EVENT, [part], count=10)

    assert [1] == minutes(found)
    assert [part] == await backend.leases.surplus(SERVICE, "i1")


async def test_a_subscriber_hears_what_is_sent_after_it_subscribed(backend: Backend) -> None:
    """What was sent before is not repeated; all subscribers hear all of it, in order."""
    await backend.queue.emit(killed("before"))
    await backend.pass_time(1)
    first = backend.queue.subscribe(BROADCAST)
    second = (await backend.another()).queue.subscribe(BROADCAST)
    await backend.queue.emit(killed("a"), killed("b"))
    await backend.queue.emit(
        Outgoing(topic=BROADCAST, key="", message=FlowUpdated(tenant_id="main", namespace="n", flow_id="f", revision=2))
    )

    heard = [[await _next(line) for _ in range(3)] for line in (first, second)]

    assert heard[0] == heard[1]
    assert ["a", "b"] == [message.execution_id for message in heard[0] if isinstance(message, KillRun)]
    for line in (first, second):
        await line.aclose()


async def test_a_waiting_subscriber_is_woken(backend: Backend) -> None:
    """A message reaches a subscriber that waits, of another process too."""
    line = (await backend.another()).queue.subscribe(BROADCAST)
    waiting = asyncio.create_task(_next(line))
    await asyncio.sleep(0)  # the subscriber begins to wait

    await backend.queue.emit(killed("a"))

    assert KillRun(execution_id="a") == await waiting
    await line.aclose()


async def test_closing_a_subscription_ends_it(backend: Backend) -> None:
    """Who waits for the next message gets the end."""
    line = backend.queue.subscribe(BROADCAST)
    waiting = asyncio.create_task(_next(line))
    await asyncio.sleep(0)  # the subscriber begins to wait

    await line.aclose()

    with pytest.raises(StopAsyncIteration):
        await waiting


async def _next(line: AsyncIterator[object]) -> object:
    async with asyncio.timeout(PATIENCE_S):
        return await anext(line)


async def _settled(backend: Backend) -> None:
    """Read, and let a first wait return: adapters use them to begin to listen."""
    await backend.queue.read(EXECUTION_EVENT, ALL, count=1)
    await backend.queue.wait(EXECUTION_EVENT, 0.01)


async def test_a_wait_returns_when_a_message_is_sent(backend: Backend) -> None:
    """By this process or by another."""
    other = await backend.another()

    for sender in (backend.queue, other.queue):
        await _settled(backend)
        waiting = asyncio.create_task(backend.queue.wait(EXECUTION_EVENT, FOR_EVER_S))
        await asyncio.sleep(0)  # the task begins to wait
        await sender.emit(event("a"))
        async with asyncio.timeout(PATIENCE_S):
            await waiting


async def test_what_is_sent_between_a_read_and_a_wait_is_not_missed(backend: Backend) -> None:
    """Two consumers of one process both learn of it."""

    async def consume(gate: asyncio.Event) -> None:
        await backend.queue.read(EXECUTION_EVENT, ALL, count=1)
        await backend.queue.wait(EXECUTION_EVENT, 0.01)
        await backend.queue.wait(EXECUTION_EVENT, 0.01)
        ready.release()
        await gate.wait()
        await backend.queue.wait(EXECUTION_EVENT, FOR_EVER_S)

    gate, ready = asyncio.Event(), asyncio.Semaphore(0)
    consumers = [asyncio.create_task(consume(gate)) for _ in range(2)]
    for _ in consumers:
        await ready.acquire()
    await backend.queue.emit(event("a"))

    gate.set()

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*consumers)


async def test_a_wait_for_other_partitions_goes_on(backend: Backend) -> None:
    """Only who reads the partition is woken; a wait that returns early (one may, as hearing begins) is tried again."""
    part = partition_of("a")
    other = await backend.another()
    await _settled(backend)

    async def wait_for(parts: list[int]) -> None:
        await backend.queue.wait(EXECUTION_EVENT, FOR_EVER_S, partitions=parts)

    async def others_go_on() -> bool:
        mine = asyncio.create_task(wait_for([part]))
        others = asyncio.create_task(wait_for([p for p in ALL if p != part]))
        await asyncio.sleep(0)  # both tasks begin to wait
        await other.queue.emit(event("a"))
        await mine
        go_on = not others.done()
        others.cancel()
        return go_on

    await until(others_go_on, "a wait for other partitions to go on")


async def test_a_wait_returns_after_its_timeout(backend: Backend) -> None:
    """Nothing needs to be sent."""
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(3):
            await backend.queue.wait(HISTORY, 0.01)


async def test_wake_makes_waits_return(backend: Backend) -> None:
    """In all processes."""
    other = await backend.another()
    for _ in range(2):
        await other.queue.wait(WORKER_JOB, 0.01)
    waiting = asyncio.create_task(other.queue.wait(WORKER_JOB, FOR_EVER_S))
    await asyncio.sleep(0)  # the task begins to wait

    backend.queue.wake(WORKER_JOB)

    async with asyncio.timeout(PATIENCE_S):
        await waiting


async def test_no_wake_up_is_lost_under_load(backend: Backend) -> None:
    """A consumer that waits only when it has read nothing gets every message without its timeout."""
    other = await backend.another()
    total, got = 300, 0

    async def produce() -> None:
        for number in range(total):
            await backend.queue.emit(event(f"k{number % 20}", number))

    leases = await leases_of(other.leases)
    async with asyncio.timeout(PATIENCE_S):
        producing = asyncio.create_task(produce())
        while got < total:
            found = await other.queue.read(EXECUTION_EVENT, ALL, count=50)
            if found:
                assert await other.queue.acknowledge(EXECUTION_EVENT, found, leases)
                got += len(found)
            else:
                await other.queue.wait(EXECUTION_EVENT, FOR_EVER_S)
        await producing

    assert total == got


async def test_depths_tell_how_many_wait_and_how_long(backend: Backend) -> None:
    """KEYED topics and jobs have a depth."""
    await backend.queue.emit(event("a"), event("b"))
    await submit(backend, job("a"))
    await backend.pass_time(90)

    depths = {depth.topic: depth for depth in await backend.queue.depths()}

    assert (2, 1, 0) == tuple(depths[name].messages for name in ("execution_event", "worker_job", "history"))
    assert 90 <= depths["execution_event"].oldest_s < 120
    assert 0 == depths["history"].oldest_s
