"""The test kit: services in memory, and a worker that does what a test says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiercel.executor.service import ExecutorService
from tiercel.messages.worker_job import TaskJob
from tiercel.model.state import State
from tiercel.testing.cluster import MemoryCluster
from tiercel.testing.scripted_worker import Answer, ScriptedWorker
from tiercel.testing.virtual_time import run_virtual

FLOW = """
id: two
namespace: company.team
tasks:
  - id: first
    type: io.kestra.plugin.core.debug.Return
    format: one
  - id: second
    type: io.kestra.plugin.core.debug.Return
    format: "{{ outputs.first.value }}"
"""


def test_flow_runs_on_a_scripted_worker(tmp_path: Path) -> None:
    """The executor gives jobs in order, and each sees the outputs of the one before."""

    async def main() -> tuple[State, list[TaskJob]]:
        workers: list[ScriptedWorker] = []

        def make(adapters: object) -> list[object]:
            workers.append(ScriptedWorker(adapters, lambda job: Answer(outputs={"value": job.task_id}, after_s=600)))
            return [ExecutorService(adapters), workers[0]]

        async with MemoryCluster(tmp_path, make) as cluster:
            flow = await cluster.deploy(FLOW)
            loaded = await cluster.ended(await cluster.execute(flow), timeout_s=3600)
            return loaded.head.execution.state, workers[0].jobs

    state, jobs = run_virtual(main())

    assert state == State.SUCCESS
    assert ["first", "second"] == [job.task_id for job in jobs]
    assert {"first": {"value": "first"}} == jobs[1].context["outputs"]


def test_execution_that_does_not_end_is_a_timeout(tmp_path: Path) -> None:
    """A test that waits in vain fails with a sentence."""

    async def main() -> None:
        async with MemoryCluster(tmp_path, lambda adapters: [ExecutorService(adapters)]) as cluster:
            flow = await cluster.deploy(FLOW)
            await cluster.ended(await cluster.execute(flow), timeout_s=5)

    with pytest.raises(TimeoutError, match="has not ended within 5 s"):
        run_virtual(main())
