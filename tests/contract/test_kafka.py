"""What only Kafka's adapter can get wrong: who dies between which two steps, what comes again, what brokers refuse."""

# ruff: noqa: PT012, a transaction fails where its block ends

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from tests.contract.backends import KafkaContract
from tests.contract.cut import Cut
from tests.contract.samples import changes, event, job, leases_of, minutes
from tests.contract.steps import ALL, arrived, claimed, seqs, submit, waiting
from tests.patience import LOOK_S, PATIENCE_S, until
from tiercel.errors import InternalError, OperatorError, Refused, Unavailable
from tiercel.messages import codec
from tiercel.messages.broadcast import KillRun
from tiercel.messages.topics import BROADCAST, EXECUTION_EVENT, HISTORY, partition_of
from tiercel.queue.base import Outgoing, Queue
from tiercel.queue.kafka.dispatcher import Dispatcher
from tiercel.queue.kafka.link import KafkaLink
from tiercel.queue.kafka.producer import KafkaProducer, Record
from tiercel.statestore.base import DISPATCHER, LeaseLost, StaleState


class Held(KafkaProducer):
    """A producer that keeps what it is given until it is told to go on: its process died, or was stopped, meanwhile."""

    def hold(self) -> None:
        self.kept: list[Any] = []

    def send(self, records: Any, *, soon: bool = False) -> asyncio.Future[None]:
        self.kept.append(list(records))
        return self._loop.create_future()

    def let_go(self) -> list[asyncio.Future[None]]:
        return [KafkaProducer.send(self, records) for records in self.kept]


def hold(link: KafkaLink) -> Held:
    """Make a process stop between its commit and its sending."""
    link.producer.__class__ = Held
    held: Any = link.producer
    held.hold()
    return held


async def pause(dispatcher: Dispatcher) -> None:
    """Stop a dispatcher where it is, as SIGSTOP does; what it has of the database and the brokers stays."""
    async with dispatcher._handout.turn:  # one that is cancelled within a transaction would give its lease up
        for task in dispatcher._tasks:
            task.cancel()
        await asyncio.gather(*dispatcher._tasks, return_exceptions=True)


async def room(dispatcher: Dispatcher, free: int) -> None:
    """Wait until a dispatcher knows of so many free slots."""

    async def known() -> bool:
        return dispatcher._roster.free == free

    await until(known, f"the dispatcher to know of {free} free slots")


async def _none_waits(queue: Queue) -> bool:
    return await waiting(queue) == 0


async def rows(contract: KafkaContract, table: str) -> int:
    ((count,),) = await contract.admin.fetch(f"SELECT count(*) FROM tq.{table}".encode())
    return int(count)


async def test_what_a_dead_process_has_committed_is_sent_by_who_takes_over(kafka_contract: KafkaContract) -> None:
    """Before anything of the partition is read; and when the dead one was only stopped, its late sending is dropped."""
    leases = await leases_of(kafka_contract.leases)
    held = hold(kafka_contract.links[0])
    for minute in (1, 2):
        async with kafka_contract.state.transaction(leases) as unit:
            unit.save(changes(f"e{minute}", None))
            unit.emit(event("a", minute))
    heir = await kafka_contract.another()

    found = await arrived(heir.queue, 2)
    await asyncio.gather(*held.let_go())
    await heir.queue.emit(event("a", 3))

    assert [1, 2] == minutes(found)
    assert [1, 2, 3] == minutes(await arrived(heir.queue, 3))
    assert 0 == await rows(kafka_contract, "outbox")


async def test_a_repetition_is_dropped_by_a_reader_that_comes_later(kafka_contract: KafkaContract) -> None:
    """What was acknowledged before is known by its origin, also to the next owner."""
    leases = await leases_of(kafka_contract.leases)
    link = kafka_contract.links[0]
    record = link.record(EXECUTION_EVENT, partition_of("a"), "a", codec.encode(event("a", 1).message), "someone", 7)
    await link.producer.send([record])
    read = await arrived(kafka_contract.queue, 1)
    assert await kafka_contract.queue.acknowledge(EXECUTION_EVENT, read, leases)

    await link.producer.send([record])
    await kafka_contract.queue.emit(event("a", 2))

    assert [2] == minutes(await arrived(kafka_contract.queue, 1))
    assert [2] == minutes(await arrived((await kafka_contract.another()).queue, 1))


async def test_a_position_is_moved_over_what_only_came_again(kafka_contract: KafkaContract) -> None:
    """Otherwise the last repetition of a partition would look like a backlog for ever."""
    leases = await leases_of(kafka_contract.leases)
    link = kafka_contract.links[0]
    record = link.record(EXECUTION_EVENT, partition_of("a"), "a", codec.encode(event("a", 1).message), "someone", 7)
    await link.producer.send([record])
    assert await kafka_contract.queue.acknowledge(EXECUTION_EVENT, await arrived(kafka_contract.queue, 1), leases)
    await link.producer.send([record])

    async with asyncio.timeout(PATIENCE_S):
        while await waiting(kafka_contract.queue, "execution_event"):
            assert [] == await kafka_contract.queue.read(EXECUTION_EVENT, ALL, count=10)
            await kafka_contract.queue.wait(EXECUTION_EVENT, 0.5)


async def test_a_second_reader_of_a_partition_is_rolled_back(kafka_contract: KafkaContract) -> None:
    """Even if its lease held: the position is not where it believes it to be. It then reads on where the first is."""
    other = await kafka_contract.another()
    await kafka_contract.queue.emit(event("a", 1), event("a", 2))
    mine, late = await arrived(kafka_contract.queue, 2), await arrived(other.queue, 2)
    async with kafka_contract.state.transaction([]) as unit:
        unit.acknowledge(EXECUTION_EVENT, mine[:1])

    with pytest.raises(StaleState):
        async with other.state.transaction([]) as unit:
            unit.acknowledge(EXECUTION_EVENT, late)
            unit.emit(event("b", 3))

    assert [2] == minutes(await arrived(other.queue, 1))
    assert 1 == await waiting(other.queue, "execution_event")


async def test_only_the_oldest_of_a_partition_can_be_acknowledged(kafka_contract: KafkaContract) -> None:
    """A position cannot leave a message out: that is a mistake of ours, and nothing is saved."""
    leases = await leases_of(kafka_contract.leases)
    await kafka_contract.queue.emit(event("a", 1), event("a", 2))
    found = await arrived(kafka_contract.queue, 2)

    with pytest.raises(InternalError, match="oldest"):
        async with kafka_contract.state.transaction(leases) as unit:
            unit.acknowledge(EXECUTION_EVENT, found[1:])

    assert [1, 2] == minutes(await arrived(kafka_contract.queue, 2))


@pytest.mark.parametrize("heard", [True, False])
async def test_messages_of_a_commit_in_doubt_are_sent_exactly_if_it_happened(
    kafka_contract: KafkaContract, tmp_path: Path, heard: bool
) -> None:
    """The connection is cut during the commit; the next transaction first sends what is there, under a new origin."""
    uri = kafka_contract.uri
    cut = Cut(uri, tmp_path, heard=heard, mark=b"the-cut")
    await cut.open()
    kafka_contract.uri = cut.uri
    doubtful = await kafka_contract.another()
    kafka_contract.uri = uri
    async with doubtful.state.transaction([]) as unit:
        unit.emit(event("a", 1))

    cut.arm()
    with pytest.raises(Unavailable):
        async with doubtful.state.transaction([]) as unit:
            unit.save(changes("the-cut", None))
            unit.emit(event("a", 2))
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(Unavailable):
                async with doubtful.state.transaction([]) as unit:
                    unit.emit(event("a", 3))
                break

    happened = "the-cut" in await kafka_contract.state.versions(["the-cut"])
    assert heard == happened
    expected = [1, 2, 3] if happened else [1, 3]
    assert expected == minutes(await arrived(kafka_contract.queue, len(expected)))
    await cut.close()


async def test_a_message_that_no_broker_would_take_is_refused(kafka_contract: KafkaContract) -> None:
    """It never reaches the producer, and its transaction leaves nothing."""
    huge = Outgoing(topic=HISTORY, key="a", message={"type": "x" * kafka_contract.settings.kafka.message_size_max})

    with pytest.raises(Refused, match=r"larger than 'kafka\.message-size-max'"):
        await kafka_contract.queue.emit(huge)
    with pytest.raises(Refused):
        async with kafka_contract.state.transaction([]) as unit:
            unit.save(changes("e", None))
            unit.emit(huge)

    assert {} == await kafka_contract.state.versions(["e"])


async def test_an_offset_that_is_gone_is_an_alarm(kafka_contract: KafkaContract) -> None:
    """Reading neither jumps nor waits: the operator is told what to do."""
    await kafka_contract.sql("UPDATE tq.position SET next_offset = next_offset + 1000 WHERE topic = 'execution_event'")

    with pytest.raises(OperatorError, match=r"no longer holds the message.*tq\.position"):
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await kafka_contract.queue.read(EXECUTION_EVENT, ALL, count=1)
                await asyncio.sleep(LOOK_S)  # the consumer's thread learns of it from the broker


@pytest.mark.parametrize("key", ["a", b"\xff", "a\0b"])
async def test_bytes_that_are_no_message_are_delivered_with_their_error(
    kafka_contract: KafkaContract, key: Any
) -> None:
    """Whoever wrote them, under whatever key: they can be buried, and what follows them is read."""
    name, part = kafka_contract.links[0].place(EXECUTION_EVENT, partition_of("a"))
    await kafka_contract.links[0].producer.send([Record(name, part, key, b"\xff strange")])
    await kafka_contract.queue.emit(event("a", 1))

    strange, following = await arrived(kafka_contract.queue, 2)

    assert strange.message is None
    assert "no message of Tiercel" in str(strange.error) or "form 255" in str(strange.error)
    assert [1] == minutes([following])
    await kafka_contract.queue.bury(EXECUTION_EVENT, strange, "strange")


async def test_a_broadcast_that_comes_again_is_heard_once(kafka_contract: KafkaContract) -> None:
    """Its origin and number are known."""
    line = kafka_contract.queue.subscribe(BROADCAST)
    link = kafka_contract.links[0]
    record = link.record(BROADCAST, 0, "", codec.encode(KillRun(execution_id="a")), "someone", 1)

    await link.producer.send([record, record])
    await kafka_contract.queue.emit(Outgoing(topic=BROADCAST, key="", message=KillRun(execution_id="b")))

    async with asyncio.timeout(PATIENCE_S):
        assert ["a", "b"] == [(await anext(line)).execution_id for _ in range(2)]


async def test_a_dispatcher_that_slept_too_long_is_fenced(kafka_contract: KafkaContract) -> None:
    """Its transaction is rolled back, and the jobs are dispatched once, by the other."""
    dispatcher = kafka_contract.dispatcher
    thief = await kafka_contract.another()  # to connect takes seconds, after which a worker would be silent
    await submit(kafka_contract, job("a", 1))
    assert [1] == seqs(await claimed(kafka_contract.queue, 1, 8, worker="early"))
    await pause(dispatcher)
    await kafka_contract.pass_time(60)
    (stolen,) = await thief.leases.take(DISPATCHER, "thief", level=1, ttl_s=60)
    await submit(thief, job("a", 2))

    with pytest.raises(LeaseLost):
        await dispatcher.dispatch()

    assert "thief" != stolen.token
    assert 1 == await waiting(kafka_contract.queue)


async def test_jobs_that_a_dead_dispatcher_has_claimed_arrive(kafka_contract: KafkaContract) -> None:
    """It died between its commit and its sending: the next one sends job and started event, once."""
    dispatcher = kafka_contract.dispatcher
    other = await kafka_contract.another()
    await other.queue.claim("w", ["default"], 2)
    held = hold(kafka_contract.links[0])
    await submit(other, job("a", 1))
    await until(lambda: _none_waits(other.queue), "nothing to wait")
    await pause(dispatcher)
    await kafka_contract.pass_time(60)
    kafka_contract.dispatch_by(other)

    assert [1] == seqs(await claimed(other.queue, 1, 2))
    await asyncio.gather(*held.let_go())
    await submit(other, job("a", 2))

    assert [2] == seqs(await claimed(other.queue, 1, 1))
    started = [delivery.message for delivery in await arrived(other.queue, 2)]
    assert [1, 2] == [message.seq for message in started]


async def test_jobs_are_shared_evenly(kafka_contract: KafkaContract) -> None:
    """Who has most room gets the next one."""
    other = await kafka_contract.another()
    await kafka_contract.queue.claim("w1", ["default"], 6)
    await other.queue.claim("w2", ["default"], 6)
    await room(kafka_contract.dispatcher, 12)

    await submit(kafka_contract, *(job("a", seq) for seq in range(6)))

    assert 3 == len(await claimed(kafka_contract.queue, 3, 6, worker="w1"))
    assert 3 == len(await claimed(other.queue, 3, 6, worker="w2"))


async def test_a_worker_that_is_not_heard_gets_nothing(kafka_contract: KafkaContract) -> None:
    """What it granted before it fell silent is nobody's room."""
    other = await kafka_contract.another()
    await kafka_contract.queue.claim("silent", ["default"], 4)
    await room(kafka_contract.dispatcher, 4)
    await other.queue.claim("heard", ["default"], 2)
    await room(kafka_contract.dispatcher, 6)
    # The process that plays it does speak, every three seconds: what follows takes milliseconds.
    kafka_contract.dispatcher._roster._workers["silent"].heard_at -= 60

    await submit(kafka_contract, job("a", 1))

    assert [1] == seqs(await claimed(other.queue, 1, count=2, worker="heard"))
    assert [] == await kafka_contract.queue.claim("silent", ["default"], 4)
