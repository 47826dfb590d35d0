"""What counts as an answer of the brokers."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from tests.contract.backends import KafkaContract
from tests.contract.samples import event
from tests.contract.steps import ALL
from tests.patience import PATIENCE_S
from tiercel.errors import InternalError, Unavailable
from tiercel.messages.topics import BROADCAST, EXECUTION_EVENT
from tiercel.queue.kafka import offsets, producer
from tiercel.queue.kafka.client import Troubles
from tiercel.queue.kafka.link import SILENT_MAX_S


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


async def test_a_process_that_reads_no_more_says_so(
    kafka_contract: KafkaContract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that reads has died of a mistake of ours: calls raise it, and the process is started again."""

    def mistaken(*_: Any) -> None:
        raise RuntimeError("a mistake")

    consumer = kafka_contract.links[0].consumer
    monkeypatch.setattr(consumer, "_sort", mistaken)
    await kafka_contract.queue.read(EXECUTION_EVENT, ALL, count=1)
    await kafka_contract.queue.emit(event("a"))
    await asyncio.to_thread(consumer._thread.join, PATIENCE_S)

    with pytest.raises(InternalError, match="Nothing is read from Kafka any more: RuntimeError: a mistake"):
        await kafka_contract.queue.read(EXECUTION_EVENT, ALL, count=1)
    assert "a mistake" in str(await kafka_contract.links[0].health())


async def test_a_client_that_hangs_while_brokers_answer_is_replaced(
    kafka_contract: KafkaContract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was given is sent by its successor: the library may be stuck for reasons that are its own."""

    async def swallow(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            pass

    sender, loop = kafka_contract.links[0].producer, asyncio.get_running_loop()
    servers = sender._properties["bootstrap.servers"]
    async with await asyncio.start_server(swallow, "127.0.0.1", 0) as abyss:
        host, port = abyss.sockets[0].getsockname()
        sender._properties["bootstrap.servers"] = f"{host}:{port}"
        sender._client = sender._open()
        sender._properties["bootstrap.servers"] = servers
        sent = asyncio.ensure_future(kafka_contract.queue.emit(event("a", 1)))
        await asyncio.sleep(0)  # it is given to the client
        sender.look(loop.time())
        assert sender._renewing is None  # brokers answer again since a moment only

        with monkeypatch.context() as patch:  # of this look only: the successor must have its time
            patch.setattr(producer, "STUCK_S", 0.0)
            sender.look(0.0)

        async with asyncio.timeout(PATIENCE_S):
            await sent


async def test_a_question_that_the_library_forgets_is_given_up(
    kafka_contract: KafkaContract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another client is asked the next one: who sees whether brokers answer must not wait for ever."""

    class Forgetful:
        def list_offsets(self, wanted: dict[TopicPartition, Any], **_: Any) -> dict[TopicPartition, Future[Any]]:
            return {place: Future() for place in wanted}

    link = kafka_contract.links[0]
    place = link.place(BROADCAST)
    monkeypatch.setattr(offsets, "GIVEN_UP_S", 0.01)
    link.offsets._admin = Forgetful()

    with pytest.raises(Unavailable, match="has not answered within"):
        await asyncio.to_thread(link.offsets.ends, [place])
    monkeypatch.undo()
    assert {place} == set(await asyncio.to_thread(link.offsets.ends, [place]))


async def test_questions_about_offsets_share_one_client(
    kafka_contract: KafkaContract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client connects, asks for leaders and may wait seconds for them: one is made, and kept while it answers."""
    link, made = kafka_contract.links[0], []

    def connected(properties: dict[str, Any]) -> AdminClient:
        made.append(AdminClient(properties))
        return made[-1]

    monkeypatch.setattr(offsets, "AdminClient", connected)
    asking = offsets.Offsets(link.settings, "asks", Troubles("brokers"))
    place = link.place(EXECUTION_EVENT)

    answers = [await asyncio.to_thread(asking.ends, [place]) for _ in range(3)]

    assert answers == [answers[0]] * 3
    assert 1 == len(made)
