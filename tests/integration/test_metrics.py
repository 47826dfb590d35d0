"""What an executor and a worker count while a flow runs."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import REGISTRY

from tiercel.executor.service import ExecutorService
from tiercel.model.state import State
from tiercel.testing.cluster import MemoryCluster
from tiercel.testing.virtual_time import run_virtual
from tiercel.worker.service import WorkerService

FLOW = """
id: counted
namespace: company.metrics
tasks:
  - id: pause
    type: io.kestra.plugin.core.flow.Pause
    pauseDuration: PT1S
  - id: both
    type: io.kestra.plugin.core.flow.Sequential
    tasks:
      - id: well
        type: io.kestra.plugin.core.debug.Return
        format: one
      - id: slow
        type: io.kestra.plugin.core.flow.Sleep
        duration: PT10M
        timeout: PT1S
"""
FLOW_LABELS = {"tenant_id": "main", "namespace_id": "company.metrics", "flow_id": "counted"}
RETURN = "io.kestra.plugin.core.debug.Return"
SLEEP = "io.kestra.plugin.core.flow.Sleep"


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"tiercel_{name}", {**FLOW_LABELS, **labels}) or 0.0


def run(folder: Path) -> State:
    async def main() -> State:
        def make(adapters: object) -> list[object]:
            return [ExecutorService(adapters), WorkerService(adapters)]

        async with MemoryCluster(folder, make) as cluster:
            flow = await cluster.deploy(FLOW)
            loaded = await cluster.ended(await cluster.execute(flow), timeout_s=3600)
            return loaded.head.execution.state

    return run_virtual(main())


def test_everything_that_happens_in_an_execution_is_counted_once(tmp_path: Path) -> None:
    """Executions, task runs by their last state, flowables (a Pause is one), delays; on the worker: starts, ends."""
    state = run(tmp_path)

    assert State.FAILED == state
    assert [1, 1, 1] == [
        value("executor_execution_started_count_total"),
        value("executor_execution_end_count_total", state="FAILED"),
        value("executor_execution_duration_seconds_count", state="FAILED"),
    ]
    assert [4, 2, 2, 2] == [
        value("executor_taskrun_created_count_total"),
        value("executor_taskrun_ended_count_total", state="SUCCESS"),
        value("executor_taskrun_ended_count_total", state="FAILED"),
        value("executor_flowable_execution_count_total"),
    ]
    assert [1, 1] == [
        value("executor_execution_delay_created_count_total"),
        value("executor_execution_delay_ended_count_total"),
    ]
    assert [1, 1, 1, 1] == [
        value("worker_started_count_total", task_type=RETURN),
        value("worker_ended_count_total", task_type=RETURN, state="SUCCESS"),
        value("worker_queued_duration_seconds_count", task_type=RETURN),
        value("worker_timeout_count_total", task_type=SLEEP),
    ]
