"""
Runs jobs that only compute before they are this worker's, so that one commit takes them and tells of their end.

A task that renders a text ends in less time than a commit takes. A run that does not end at once counts for nothing:
the job is then claimed and run from its beginning, as any other.
"""

from __future__ import annotations

from tiercel.errors import TiercelError
from tiercel.messages.topics import EXECUTION_EVENT
from tiercel.messages.worker_job import TaskJob
from tiercel.plugins.base import only_computes
from tiercel.queue.base import Outgoing
from tiercel.worker.crew import Crew
from tiercel.worker.trial import Trial


class Ahead:
    """Runs jobs ahead for one worker (`tiercel.queue.base.Ahead`)."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._trial: Trial | None = None

    def told(self, job: TaskJob) -> list[Outgoing] | None:
        """Run a job and return what is to be told of it; None if it must be this worker's first."""
        if self._crew.is_killed(job):
            return None
        try:
            task = self._crew.binder.task(job.definition)
        except TiercelError:  # said by the run that follows
            return None
        if not only_computes(task):
            return None
        trial = self._trial = Trial(job, self._crew)
        if not trial.ends_at_once():
            return None
        events = [Outgoing(topic=EXECUTION_EVENT, key=each.execution_id, message=each) for each in trial.events]
        return [*self._crew.outbox.history(trial.lines, trial.measured), *events]

    def taken(self, job: TaskJob) -> None:
        """Count a job that was run ahead."""
        trial, self._trial = self._trial, None
        if trial is not None and trial.run.job is job:
            trial.count()
