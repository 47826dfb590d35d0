"""What every queue promises about jobs."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from tests.contract.backends import Backend
from tests.contract.samples import job, trigger_job
from tests.contract.steps import arrived, claimed, hand_out, seqs, submit, waiting
from tests.patience import PATIENCE_S
from tiercel.messages.execution_event import TaskStarted
from tiercel.messages.topics import WORKER_JOB
from tiercel.messages.worker_job import TaskJob, TriggerJob


async def test_jobs_are_claimed_by_rank_and_age(backend: Backend) -> None:
    """Rank first, whatever the lane; only lanes that are asked for."""
    await submit(
        backend, job("a", 1), job("a", 2, rank=-1), job("a", 3, lane="gpu"), job("a", 4, lane="other"), job("a", 5)
    )

    found = await claimed(backend.queue, 4, lanes=["default", "gpu"])

    assert [2, 1, 3, 5] == seqs(found)
    assert 1 == await waiting(backend.queue)
    assert [4] == seqs(await claimed(backend.queue, 1, lanes=["other"], worker="w2"))


@pytest.mark.parametrize("lanes", [["default"], ["default", "gpu"]])
async def test_a_claim_takes_at_most_its_count(backend: Backend, lanes: list[str]) -> None:
    """What is left is left for others."""
    await submit(backend, *(job("a", seq) for seq in range(10)))

    first = await claimed(backend.queue, 4, 4, lanes)

    assert 4 == len(first)
    assert 6 == await waiting(backend.queue)
    assert 6 == len(await claimed(backend.queue, 6, 100, lanes))
    assert [] == await backend.queue.claim("w", lanes, 4)


async def test_slots_that_will_be_free_soon_get_nothing_before_they_are_claimed_for(backend: Backend) -> None:
    """They may be asked for in advance; no job is handed over twice, or lost, by that."""
    queue = backend.queue
    await queue.claim("w", ["default"], 2, None, 3)
    await submit(backend, *(job("a", seq) for seq in range(5)))

    first = await claimed(queue, 2, 2)

    assert [] == await queue.claim("w", ["default"], 0, None, 3)
    assert [0, 1, 2, 3, 4] == sorted(seqs([*first, *await claimed(queue, 3, 3)]))


async def test_a_claim_emits_started_of_task_jobs(backend: Backend) -> None:
    """It names the worker; jobs of triggers have no started event."""
    await submit(backend, job("a", 7), trigger_job("main/ns/f/t"))

    found = await claimed(backend.queue, 2)

    assert [TaskJob, TriggerJob] == [type(one) for one in found]
    (started,) = [delivery.message for delivery in await arrived(backend.queue, 1)]
    assert TaskStarted(execution_id="a", at=started.at, seq=7, attempt=1, worker="w") == started


async def test_of_each_job_that_is_handed_out_it_is_told_once_that_it_is_started(backend: Backend) -> None:
    """Of those that were given by the transaction itself, of all others by an event."""
    await backend.queue.claim("w", ["default"], 10)

    given = await hand_out(backend, *(job("a", seq) for seq in range(4)))
    found = await claimed(backend.queue, 4)
    told = [*given, *(delivery.message for delivery in await arrived(backend.queue, 4 - len(given)))]

    assert [0, 1, 2, 3] == sorted(seqs(found))
    assert [(seq, "w") for seq in range(4)] == sorted((started.seq, started.worker) for started in told)


async def test_concurrent_claims_never_share_a_job(backend: Backend) -> None:
    """Every job goes to exactly one claimer, and none is left."""
    total = 400
    await submit(backend, *(job("a", seq, lane=f"l{seq % 2}") for seq in range(total)))
    others = [backend.queue, (await backend.another()).queue]
    taken: list[int] = []

    async def claim_all(number: int) -> None:
        queue, lanes = others[number % 2], [["l1"], ["l0", "l1"]][number % 2]
        while len(taken) < total:
            found = await queue.claim(f"w{number}", lanes, 7)
            assert len(found) <= 7
            taken.extend(seqs(found))
            if not found:
                await queue.wait(WORKER_JOB, 0.05)

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(claim_all(number) for number in range(4)))

    assert list(range(total)) == sorted(taken)


async def test_while_a_worker_is_full_an_idle_one_takes_what_waits(backend: Backend) -> None:
    """Work-conserving: a job never waits for a worker that is busy while another is free; the full one ends nothing."""
    other = (await backend.another()).queue
    await submit(backend, *(job("a", seq) for seq in range(4)))
    assert 4 == len(await claimed(backend.queue, 4, 4, worker="full"))
    assert [] == await other.claim("idle", ["default"], 4)

    await submit(backend, *(job("b", seq) for seq in range(4)))
    found = await claimed(other, 4, 4, worker="idle")

    assert [0, 1, 2, 3] == seqs(found)


async def test_a_worker_that_withdraws_gets_nothing_more(backend: Backend) -> None:
    """What it was sent and had not claimed is handed back; what waits is left for others."""
    await submit(backend, job("a", 1))
    assert [1] == seqs(await claimed(backend.queue, 1, worker="leaver"))
    await backend.queue.claim("leaver", ["default"], 2)
    await submit(backend, job("a", 2))

    handed_back = await backend.queue.withdraw("leaver")
    await submit(backend, job("a", 3))

    left = 2 - len(handed_back)
    assert left == await waiting(backend.queue)
    found = await claimed(backend.queue, left, worker="stayer")
    assert [2, 3] == sorted(seqs([*handed_back, *found]))


async def test_an_undecodable_job_becomes_a_dead_letter(backend: Backend) -> None:
    """It does not stop the jobs behind it."""
    broken = job("a", 1)
    await submit(backend, msgspec.structs.replace(broken, job=_Strange(execution_id="a")), job("a", 2))

    found = await claimed(backend.queue, 1)

    assert [2] == seqs(found)
    assert ["worker_job"] == [topic for topic, *_ in await backend.dead_letters()]


class _Strange(msgspec.Struct, tag="Strange"):
    execution_id: str
    trigger_uid: str = ""
