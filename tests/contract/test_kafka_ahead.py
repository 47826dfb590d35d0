"""Jobs that a worker of short tasks is sent before it has a free slot for them, and what it cannot do with them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from tests.contract.backends import KafkaContract
from tests.contract.samples import job
from tests.contract.steps import arrived, claimed, submit, waiting
from tests.contract.test_kafka import room
from tests.patience import PATIENCE_S, until
from tiercel.messages import codec
from tiercel.messages.execution_event import JobRefused, JobReturned, TaskStarted
from tiercel.messages.topics import WORKER_JOB, partition_of
from tiercel.queue.kafka.claimer import Claimer
from tiercel.queue.kafka.envelope import Kind

SLOTS = 4
SHORT = 100
LONG = 6


async def work_off(contract: KafkaContract, worker: str) -> tuple[Claimer, int]:
    """Claim jobs that end at once, until some are sent ahead; return the worker's account, and how many they were."""
    queue: Any = contract.queue
    done = submitted = 0
    async with asyncio.timeout(PATIENCE_S):
        while done < submitted or not done or not queue._inbox._claimers[worker].ahead:
            if done == submitted:
                await submit(contract, *(job("short", submitted + seq) for seq in range(SHORT)))
                submitted += SHORT
            found = await contract.queue.claim(worker, ["default"], min(SLOTS, submitted - done))
            done += len(found)
            if not found:
                await contract.queue.wait(WORKER_JOB, 0.05)
    return queue._inbox._claimers[worker], done


async def test_what_a_worker_turns_out_to_be_too_busy_for_is_handed_back(kafka_contract: KafkaContract) -> None:
    """It was sent jobs ahead because its tasks were short; those that come then are long, and it takes no more."""
    busy, done = await work_off(kafka_contract, "busy")

    await submit(kafka_contract, *(job("long", seq) for seq in range(LONG)))
    await until(lambda: _all_sent(kafka_contract), "all jobs to be sent")
    told = [delivery.message for delivery in await arrived(kafka_contract.queue, done + 2 * LONG, count=5000)]

    returned = [message for message in told if isinstance(message, JobReturned)]
    assert set(range(LONG)) == {message.seq for message in returned}
    assert {("long", "busy")} == {(message.execution_id, message.worker) for message in returned}
    assert busy.is_empty
    assert 0 == busy.ahead


async def _all_sent(contract: KafkaContract) -> bool:
    return await waiting(contract.queue) == 0


async def test_a_job_that_its_worker_cannot_read_is_refused(kafka_contract: KafkaContract) -> None:
    """It was claimed already, so that nobody else will run it: whoever waits for it is told; the next one comes."""
    await kafka_contract.queue.claim("w", ["default"], 2)
    await room(kafka_contract.dispatcher, 2)
    link = kafka_contract.links[0]
    broken = msgspec.structs.replace(job("a", 3).job, task_id=7)
    inbox = link.layout.inbox("w")

    link.post_to(WORKER_JOB, inbox, "w", codec.encode(broken), Kind.MESSAGE)

    (told,) = [delivery.message for delivery in await arrived(kafka_contract.queue, 1, partitions=[partition_of("a")])]
    assert isinstance(told, JobRefused)
    assert ("a", 3, 1) == (told.execution_id, told.seq, told.attempt)
    assert "cannot be decoded" in told.reason
    await submit(kafka_contract, job("b", 1))
    assert 1 == len(await claimed(kafka_contract.queue, 1, 2))
    (started,) = [d.message for d in await arrived(kafka_contract.queue, 1, partitions=[partition_of("b")])]
    assert isinstance(started, TaskStarted)
