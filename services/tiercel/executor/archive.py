"""
What history knows of executions that the state store has forgotten.

An execution that ended long ago comes back when somebody commands it: its records are made again from the repository
and saved as they were, and what follows is as if it had never been away. And a create that is older than the time for
which ended executions are kept may be a repeated one: the repository knows whether its execution existed.

History may be slow or away. It is asked as for far facts: who asked waits alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec

from tiercel.executor.core.facts import Want
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

COMMANDS: Final = (
    events.RestartRequested
    | events.ReplayRequested
    | events.TaskRunStateRequested
    | events.StateRequested
    | events.LabelsRequested
)
"""Commands that an execution obeys after its end."""
KNOWN: Final = "known"
PAST: Final = "past"
"""Kinds of facts that history answers for many executions at once: whether it knows them, and what it knows."""


class Past(msgspec.Struct, frozen=True):
    """An execution as history has it."""

    execution: Execution
    runs: Sequence[TaskRun]
    outputs: Mapping[int, OutputRef]


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

    @property
    def exists(self) -> bool:
        """Tell whether there is history to ask."""
        return self._repository is not None

    def old(self, creates: Iterable[events.CreateExecution]) -> set[str]:
        """Return the ids of those creates that are so old that they may be repeated ones."""
        before = self._clock.now() - self._trusted
        return {event.execution_id for event in creates if event.at < before} if self._repository is not None else set()

    async def answer(self, want: Want, execution_id: str, tenant_id: str) -> Any:
        """Answer what history is asked, and leave all other facts to their source."""
        if self._repository is None or want.sort not in (KNOWN, PAST):
            return await self._source.answer(want, execution_id, tenant_id)
        if want.sort == KNOWN:
            return await self._repository.confirmed(want.key)
        return {one.id: await self._past(one) for one in (await self._repository.anywhere(want.key)).values()}

    async def _past(self, execution: Execution) -> Past:
        assert self._repository is not None
        runs = await self._repository.runs(execution.tenant_id, execution.id)
        return Past(execution, runs, await self._repository.outputs(execution.tenant_id, execution.id))

    async def bring_back(self, found: Iterable[Past], partitions: int, leases: Sequence[Lease]) -> list[str]:
        """Put forgotten executions into the state store again, as they were; return which are there now."""
        back = []
        for past in found:
            execution = past.execution
            if not execution.state.is_terminated:
                continue
            back.append(execution.id)
            plan = await self._source.plan(
                execution.tenant_id, execution.namespace, execution.flow_id, execution.flow_revision
            )
            head, runs, outputs = revive(execution, past.runs, past.outputs, inside(plan, execution.loop_run))
            partition = partition_of(execution.id, partitions)
            changes = Changes(partition=partition, head=head, was_version=None, new_runs=runs, outputs=outputs)
            own = [lease for lease in leases if lease.partition == partition]
            try:
                async with self._store.transaction(own) as unit:
                    unit.save(changes)
            except StaleState:
                continue  # it was there all the time
        return back
