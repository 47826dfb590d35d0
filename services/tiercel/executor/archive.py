"""
What history knows of executions that the state store has forgotten.

An execution that ended long ago comes back when somebody commands it: its records are made again from the repository
and saved as they were, and what follows is as if it had never been away. And a create that is older than the time for
which ended executions are kept may be a repeated one: the repository knows whether its execution existed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from tiercel.errors import TiercelError, Unavailable
from tiercel.executor.core.plan import inside
from tiercel.executor.core.revival import revive
from tiercel.executor.facts_source import FactsSource
from tiercel.messages import execution_event as events
from tiercel.messages.topics import partition_of
from tiercel.model.execution import Execution, OutputRef, TaskRun
from tiercel.queue.base import Lease
from tiercel.repository.base import Repository
from tiercel.runtime.clock import Clock
from tiercel.statestore.base import Changes, StaleState, StateStore

PATIENCE_S: Final = 5.0
"""A batch waits so long for history; who asked then waits alone, until history answers."""
COMMANDS: Final = (
    events.RestartRequested
    | events.ReplayRequested
    | events.TaskRunStateRequested
    | events.StateRequested
    | events.LabelsRequested
)
"""Commands that an execution obeys after its end."""


class HistoryAway(TiercelError):
    """History does not answer now: what these executions want has to wait."""

    def __init__(self, execution_ids: Sequence[str], error: Exception) -> None:
        super().__init__(f"History does not answer now: {str(error) or 'it takes too long'}.")
        self.execution_ids = tuple(execution_ids)


class Archive:
    """Asks the repository for what is over; without a repository nothing was ever forgotten."""

    def __init__(
        self, repository: Repository | None, store: StateStore, source: FactsSource, clock: Clock, kept_s: float
    ) -> None:
        self._repository = repository
        self._store = store
        self._source = source
        self._clock = clock
        # Half of the time for which ended executions are kept: clocks of processes may differ.
        self._trusted = timedelta(seconds=kept_s / 2)

    async def repeated(self, creates: Iterable[events.CreateExecution]) -> set[str]:
        """Return the ids of those old creates whose executions history knows."""
        before = self._clock.now() - self._trusted
        old = [event.execution_id for event in creates if event.at < before]
        if not old or self._repository is None:
            return set()
        with _history(old):
            async with asyncio.timeout(PATIENCE_S):
                return set(await self._repository.confirmed(old))

    async def bring_back(self, execution_ids: Sequence[str], partitions: int, leases: Sequence[Lease]) -> None:
        """Put forgotten executions into the state store again, as they were; unknown ones are left out."""
        if not execution_ids or self._repository is None:
            return
        with _history(execution_ids):
            async with asyncio.timeout(PATIENCE_S):
                known = [await self._read(one) for one in (await self._repository.anywhere(execution_ids)).values()]
        for execution, task_runs, kept in known:
            if not execution.state.is_terminated:
                continue
            plan = await self._source.plan(
                execution.tenant_id, execution.namespace, execution.flow_id, execution.flow_revision
            )
            head, runs, outputs = revive(execution, task_runs, kept, inside(plan, execution.loop_run))
            partition = partition_of(execution.id, partitions)
            changes = Changes(partition=partition, head=head, was_version=None, new_runs=runs, outputs=outputs)
            own = [lease for lease in leases if lease.partition == partition]
            try:
                async with self._store.transaction(own) as unit:
                    unit.save(changes)
            except StaleState:
                continue  # it was there all the time

    async def _read(self, execution: Execution) -> tuple[Execution, list[TaskRun], Mapping[int, OutputRef]]:
        assert self._repository is not None
        runs = await self._repository.runs(execution.tenant_id, execution.id)
        return execution, runs, await self._repository.outputs(execution.tenant_id, execution.id)


@contextmanager
def _history(execution_ids: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except (Unavailable, TimeoutError) as error:
        raise HistoryAway(execution_ids, error) from error
