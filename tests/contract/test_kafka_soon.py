"""What need not leave at once on Kafka: it goes with what follows, and is neither lost nor sent out of order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import pytest

from tests.contract.backends import KafkaContract
from tests.contract.samples import changes, event, leases_of
from tests.contract.steps import ALL, arrived
from tests.patience import PATIENCE_S, until
from tiercel.messages.history import LogBatch, MetricBatch
from tiercel.messages.topics import EXECUTION_EVENT, HISTORY
from tiercel.queue.base import Outgoing
from tiercel.queue.kafka import outbox, producer
from tiercel.queue.kafka.producer import SOON_S, Record

NAMES: Final = ("soon", "soon too", "at once")
NEVER_S: Final = 3600.0
"""Longer than any test waits."""


async def test_what_goes_soon_is_overtaken_and_stays_in_order(kafka_contract: KafkaContract) -> None:
    """Records that nobody is eager for wait for company, in the order in which they were sent."""
    sender, loop = kafka_contract.links[0].producer, asyncio.get_running_loop()
    topic, part = kafka_contract.links[0].place(EXECUTION_EVENT)
    confirmed: list[str] = []
    began = loop.time()
    futures = [sender.send([Record(topic, part, "", b"x")], soon=name != "at once") for name in NAMES]
    for name, future in zip(NAMES, futures, strict=True):
        future.add_done_callback(lambda _, name=name: confirmed.append(name))

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*futures)

    assert ["at once", "soon", "soon too"] == confirmed
    assert loop.time() - began >= SOON_S


async def test_a_process_that_closes_has_sent_what_was_to_go_soon(kafka_contract: KafkaContract) -> None:
    """And has waited for the brokers' confirmation."""
    sender = kafka_contract.links[0].producer
    topic, part = kafka_contract.links[0].place(EXECUTION_EVENT)
    future = sender.send([Record(topic, part, "a", b"a")], soon=True)

    await sender.close()

    assert future.done()
    assert not future.cancelled()


async def test_history_that_a_dead_process_was_to_send_soon_is_sent_by_who_takes_over(
    kafka_contract: KafkaContract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows are kept until it is confirmed; if the dead process was only slow, what it sends then is dropped."""
    monkeypatch.setattr(producer, "SOON_S", NEVER_S)
    lines = Outgoing(topic=HISTORY, key="a", message=MetricBatch(producer="w", sequence=1, entries=()))
    async with kafka_contract.state.transaction(await leases_of(kafka_contract.leases)) as unit:
        unit.save(changes("e1", None))
        unit.emit(event("a", 1), lines)
    await arrived(kafka_contract.queue, 1)

    successor = await kafka_contract.another()
    await successor.queue.read(EXECUTION_EVENT, ALL, count=1)
    found = await arrived(successor.queue, 1, HISTORY)
    await kafka_contract.links[0].producer.close()
    more = Outgoing(topic=HISTORY, key="a", message=MetricBatch(producer="w", sequence=2, entries=()))
    await successor.queue.emit(more)

    assert [1] == [delivery.message.sequence for delivery in found]
    assert [1, 2] == [delivery.message.sequence for delivery in await arrived(successor.queue, 2, HISTORY)]


async def test_lines_are_confirmed_before_the_report_that_follows_them(
    kafka_contract: KafkaContract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that dies in between has told of no end whose log is not there."""
    sender = kafka_contract.links[0].producer
    send, sent = sender.send, list[list[str]]()

    def watched(records: Sequence[Record], *, soon: bool = False) -> asyncio.Future[None]:
        assert 0 == sender.pending
        sent.append([record.topic for record in records])
        return send(records, soon=soon)

    monkeypatch.setattr(sender, "send", watched)
    lines = Outgoing(topic=HISTORY, key="w", message=LogBatch(producer="w", sequence=1, entries=()))
    measured = Outgoing(topic=HISTORY, key="w", message=MetricBatch(producer="w", sequence=2, entries=()))

    await kafka_contract.queue.emit(lines, measured, event("a"))

    history, events = (kafka_contract.links[0].place(topic)[0] for topic in (HISTORY, EXECUTION_EVENT))
    assert [[history], [events, history]] == sent


async def test_rows_that_are_confirmed_are_forgotten_many_at_a_time(
    kafka_contract: KafkaContract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction forgets those of the ones before when they are many, and the sweep forgets fewer."""
    monkeypatch.setattr(outbox, "SWEEP_S", NEVER_S)
    successor = await kafka_contract.another()
    before = outbox.CLEAR_COUNT - 1

    async def kept_after(*minutes: int) -> int:
        async with successor.state.transaction([]) as unit:
            unit.emit(*(event("a", minute % 60) for minute in minutes))
        await until(_is_confirmed, "the brokers to confirm")
        ((count,),) = await kafka_contract.admin.fetch(b"SELECT count(*) FROM tq.outbox")
        return int(count)

    async def _is_confirmed() -> bool:
        return kafka_contract.links[1].producer.pending == 0

    assert before == await kept_after(*range(before))
    assert before + 1 == await kept_after(before)
    assert 1 == await kept_after(before + 1)
