"""What counts as an answer of the brokers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.contract.backends import KafkaContract
from tests.contract.samples import event
from tests.patience import PATIENCE_S
from tiercel.errors import Unavailable
from tiercel.queue.kafka.link import SILENT_MAX_S


@pytest.fixture
async def kafka_contract(postgres_database: str, kafka: str, topic_prefix: str) -> AsyncIterator[KafkaContract]:
    """Yield the adapters on empty tables, at the ends of their topics."""
    contract = await KafkaContract.open_on(postgres_database, kafka, topic_prefix)
    yield contract
    await contract.close()


async def test_brokers_that_confirm_messages_are_not_silent(
    kafka_contract: KafkaContract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing has to be read, and a question by another connection may be late: a busy machine delays it most."""
    link = kafka_contract.links[0]

    def late(_: object) -> None:
        raise Unavailable("No answer.")

    monkeypatch.setattr(link.offsets, "ends", late)
    async with asyncio.timeout(PATIENCE_S):
        await link.producer.send([link.records([(event("a"), b"x")], "p", 1)[0]])
    link.consumer.heard_at -= 2 * SILENT_MAX_S

    assert await link.health() is None

    link.producer.heard_at -= 2 * SILENT_MAX_S

    assert "has not answered" in str(await link.health())
