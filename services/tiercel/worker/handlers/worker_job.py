"""What a worker does with a job that it has claimed: it runs it."""

from __future__ import annotations

from typing import assert_never

from tiercel.messages.worker_job import TaskJob, TriggerJob, WorkerJob
from tiercel.worker.crew import Crew
from tiercel.worker.triggers import TriggerRuns


def handle(job: WorkerJob, crew: Crew, triggers: TriggerRuns) -> None:
    """Begin to run one job."""
    match job:
        case TaskJob():
            crew.take(job)
        case TriggerJob():
            triggers.take(job)
        case _:
            assert_never(job)
