"""What every queue promises to who waits for a job that nobody can read."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.contract.backends import Backend
from tests.contract.samples import job, trigger_job
from tests.contract.steps import arrived, claimed, submit
from tiercel.messages.execution_event import JobRefused
from tiercel.messages.topics import TRIGGER_EVENT, partition_of
from tiercel.messages.trigger_event import TriggerEvaluated


async def test_who_waits_for_an_undecodable_job_is_told(backend: Backend) -> None:
    """The execution of the task run, or the trigger, hears that nobody will run it, and why."""
    broken: Any = job("a", 3)
    strange = trigger_job("main/n/f/t")
    await submit(
        backend,
        msgspec.structs.replace(broken, job=msgspec.structs.replace(broken.job, attempt="many")),
        msgspec.structs.replace(strange, job=msgspec.structs.replace(strange.job, evaluated_at="late")),
    )

    assert [] == await claimed(backend.queue, 0)

    (told,) = await arrived(backend.queue, 1, partitions=[partition_of("a")])
    assert isinstance(told.message, JobRefused)
    assert ("a", 3) == (told.message.execution_id, told.message.seq)
    assert "cannot be decoded" in told.message.reason
    (evaluated,) = await arrived(backend.queue, 1, TRIGGER_EVENT)
    assert isinstance(evaluated.message, TriggerEvaluated)
    assert "cannot be decoded" in str(evaluated.message.error)
