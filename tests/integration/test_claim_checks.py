"""Values and outputs of loops that are too large for a record lie in internal storage."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.integration.workshop import Workshop
from tests.statemachine.flows import CORE, flow, group, task
from tiercel.model.live import OutputKind
from tiercel.model.state import State
from tiercel.storage.claimcheck import INLINE_SIZE_MAX, check_out

COUNT = 300
WIDE = [f"{number:0300d}" for number in range(COUNT)]
"""Together more than travels inline."""


async def test_the_values_of_a_wide_loop_are_stored(workshop: Workshop) -> None:
    """The record names them; another executor that goes on with the loop reads them there."""
    await workshop.deploy(flow(group("ForEach", "each", "x", values=WIDE, concurrencyLimit=1), "z"))
    half = asyncio.Event()

    def answer(job: Any) -> State:
        if job.value == WIDE[COUNT // 2]:
            half.set()
        return State.SUCCESS

    async with workshop.executor():
        worker = asyncio.create_task(workshop.work(answer))
        await workshop.create("e")
        await half.wait()
        [kept] = await workshop.state.outputs("e", kind=OutputKind.VALUES)
    async with workshop.executor():
        assert State.SUCCESS is (await workshop.ended("e")).state
        worker.cancel()

    assert kept.ref.value is None
    assert kept.ref.uri is not None
    assert kept.ref.size > INLINE_SIZE_MAX
    assert {"values": WIDE} == await check_out(workshop.storage, "main", kept.ref.uri, kept.ref.digest)
    assert WIDE == [job.value for job in workshop.claimed if job.task_id == "x"]


async def test_what_a_loop_has_fetched_is_stored_and_read_where_it_is_touched(workshop: Workshop) -> None:
    """Outputs of all iterations are one large value, which the next task's job names."""
    loop = {
        "id": "each",
        "type": CORE + "Loop",
        "values": WIDE,
        "concurrencyLimit": 0,
        "outputs": [{"id": "o", "type": "STRING", "value": "{{ item.value }}"}],
        "tasks": [task("x")],
    }
    await workshop.deploy(flow(loop, task("z", value="{{ outputs.each.outputs | length }}")))
    async with workshop.executor():
        worker = asyncio.create_task(workshop.work())
        await workshop.create("e")
        ended = await workshop.ended("e")
        worker.cancel()

    assert State.SUCCESS is ended.state
    [last] = [job for job in workshop.claimed if job.task_id == "z"]
    [(path, uri)] = last.large
    assert ("outputs", "each") == path
    stored = await check_out(workshop.storage, "main", uri)
    assert sorted(WIDE) == sorted(entry["outputs"]["o"] for entry in stored["outputs"])
    assert COUNT == stored["iterationCount"]
