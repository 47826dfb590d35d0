"""Brokers away, stopped and restarted: nothing is lost, and every call says what it waits for."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from backing.kafka import KafkaBroker
from tests.contract.backends import KafkaContract
from tests.contract.samples import event, job, minutes
from tests.contract.steps import ALL, arrived, claimed, seqs, submit
from tests.patience import PATIENCE_S, at_last, until
from tiercel.errors import Unavailable
from tiercel.messages.broadcast import KillRun
from tiercel.messages.topics import BROADCAST, EXECUTION_EVENT
from tiercel.queue.base import Delivery, Outgoing
from tiercel.queue.kafka.link import SILENT_MAX_S, KafkaLink

GAP_S = 0.1
RESTART_S = 90.0
"""How long after a restart of the broker everything must have arrived."""


async def _is_silent(link: KafkaLink, seconds: float) -> bool:
    return link.silent_s > seconds


async def _is_well(link: KafkaLink) -> bool:
    return await link.health() is None


@pytest.mark.parametrize("immediately", [False, True])
async def test_after_a_restart_of_the_broker_everything_goes_on(
    postgres_database: str, kafka_broker: KafkaBroker, topic_prefix: str, immediately: bool
) -> None:
    """Cleanly or by kill -9: nothing is lost, doubled or reordered, and nobody has to be restarted."""
    contract = await KafkaContract.open_on(postgres_database, kafka_broker.bootstrap, f"{topic_prefix}r{immediately}_")
    other = await contract.another()
    line = other.queue.subscribe(BROADCAST)
    await contract.queue.emit(event("a", 0))
    assert [0] == minutes(await arrived(other.queue, 1))
    await contract.queue.claim("w", ["default"], 2)
    sent = [0]

    async def send() -> None:
        """Emit one message after the other, each until it is confirmed; commit others between them."""
        for minute in range(1, 60, 2):
            async with contract.state.transaction([]) as unit:
                unit.emit(event("a", minute))
            sent.append(minute)
            await asyncio.sleep(GAP_S)  # a steady pace, over the whole of the restart

    sending = asyncio.create_task(send())
    await asyncio.to_thread(kafka_broker.restart, immediately=immediately)
    await sending
    await submit(contract, job("a", 1))

    async def look() -> list[Delivery[Any]]:
        with contextlib.suppress(Unavailable):
            return list(await other.queue.read(EXECUTION_EVENT, ALL, count=1000))
        return []

    async def tell() -> bool:
        with contextlib.suppress(Unavailable):
            await contract.queue.emit(Outgoing(topic=BROADCAST, key="", message=KillRun(execution_id="b")))
            return True
        return False

    found = await at_last(look, lambda read: len(read) > len(sent), within_s=RESTART_S)
    await until(tell, "a broadcast to be taken", within_s=RESTART_S)
    async with asyncio.timeout(PATIENCE_S):
        heard = await anext(line)
    jobs = await claimed(contract.queue, 1, 2)

    events = [delivery.message for delivery in found]
    told = [int(message.at.minute) for message in events if hasattr(message, "at") and not hasattr(message, "worker")]
    assert sent == told
    assert KillRun(execution_id="b") == heard
    assert [1] == seqs(jobs)
    await contract.close()


async def test_while_the_broker_is_away_calls_say_so(
    postgres_database: str, kafka_broker: KafkaBroker, topic_prefix: str
) -> None:
    """Unavailable, and at once when it has been away for a while; waits return after their time."""
    contract = await KafkaContract.open_on(postgres_database, kafka_broker.bootstrap, f"{topic_prefix}away_")
    await asyncio.to_thread(kafka_broker.pause)
    try:
        await until(lambda: _is_silent(contract.links[0], SILENT_MAX_S + 1), "the silence to be noticed")
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(Unavailable, match="has not answered"):
                await contract.queue.emit(event("a"))
            with pytest.raises(Unavailable, match="has not answered"):
                await contract.queue.read(EXECUTION_EVENT, ALL, count=1)
            await contract.queue.wait(EXECUTION_EVENT, 0.05)
            assert "has not answered" in str(await contract.links[0].health())
    finally:
        await asyncio.to_thread(kafka_broker.resume)
    await until(lambda: _is_well(contract.links[0]), "the link to be well")
    await contract.close()
