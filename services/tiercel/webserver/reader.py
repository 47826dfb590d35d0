"""
Executions as they are now: the state store first, the repository second, and a moment of patience for those that were
created just now and have not been seen by an executor yet.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from tiercel.errors import NotFound, Refused
from tiercel.messages.topics import HISTORY, partition_of
from tiercel.model import ids
from tiercel.model.execution import Execution, OutputRef, TaskRun
from tiercel.model.execution_json import execution_json, task_runs_json
from tiercel.queue.base import Queue
from tiercel.repository.base import Page, Repository
from tiercel.repository.filter import Field, Filter
from tiercel.runtime.clock import Clock
from tiercel.statestore.base import StateStore
from tiercel.webserver.follower import Followers

ITERATIONS_MAX: Final = 1000
"""Iterations of loops that are searched for a task run."""
WIDE: Final = 2000
"""Task runs that are written down in about ten milliseconds."""
PENDING_MAX: Final = 10_000
"""Executions that this process remembers having created, until an executor has saved them."""
REPEAT_S: Final = 0.02
"""How long a caller that asks again at once waits: polling without a pause would take a core from those who work."""
JUST_NOW: Final = timedelta(seconds=30)
"""An unknown id of this age may be an execution that waits in the queue."""


class View(msgspec.Struct, frozen=True, kw_only=True):
    """An execution with its task runs and their outputs, as they were read together."""

    execution: Execution
    runs: list[TaskRun] = []
    outputs: dict[int, OutputRef] = {}

    def to_json(self, clock: Clock) -> dict[str, Any]:
        now = clock.now()
        runs = task_runs_json(self.execution, self.runs, self.outputs, now=now)
        return {**execution_json(self.execution, now=now), "taskRunList": runs}

    async def shown(self, clock: Clock) -> dict[str, Any]:
        """Return the same; a wide execution, which takes a second, lets others be answered meanwhile."""
        if len(self.runs) < WIDE:
            return self.to_json(clock)
        return await asyncio.to_thread(self.to_json, clock)

    def run(self, task_run_id: str) -> TaskRun | None:
        """Return a task run by its id."""
        return next((run for run in self.runs if run.id == task_run_id), None)


class Reader:
    """Finds executions wherever they are kept."""

    def __init__(
        self,
        statestore: StateStore,
        repository: Repository,
        queue: Queue,
        followers: Followers,
        clock: Clock,
        patience_s: float,
    ) -> None:
        self._statestore, self._repository, self._queue, self._followers = statestore, repository, queue, followers
        self._clock, self._patience_s = clock, patience_s
        self._shown: OrderedDict[str, datetime] = OrderedDict()
        self._pending: OrderedDict[str, Execution] = OrderedDict()
        self._deleted: OrderedDict[str, None] = OrderedDict()

    def remember(self, execution: Execution) -> None:
        """Keep an execution that was sent and shown, for reads before an executor has saved it."""
        self._note_shown(execution.id)
        self._pending[execution.id] = execution
        if len(self._pending) > PENDING_MAX:
            self._pending.popitem(last=False)

    def forget(self, execution_id: str) -> None:
        """Stop showing an execution that was deleted, while the repository still has it."""
        self._pending.pop(execution_id, None)
        self._deleted[execution_id] = None
        if len(self._deleted) > PENDING_MAX:
            self._deleted.popitem(last=False)

    async def head(self, tenant_id: str, execution_id: str) -> Execution:
        """Return an execution without its task runs; raise NotFound."""
        pending = self._pending.get(execution_id)
        found = await self.heads(tenant_id, [execution_id])
        if execution_id not in found and pending is None and await self._appears(execution_id):
            found = await self.heads(tenant_id, [execution_id])
        if execution_id in found:
            self._pending.pop(execution_id, None)
            return found[execution_id]
        if pending is not None and pending.tenant_id == tenant_id:
            return pending
        raise NotFound(f"Execution '{execution_id}' not found.")

    async def heads(self, tenant_id: str, execution_ids: Sequence[str]) -> dict[str, Execution]:
        """Return those of these executions that are stored, without waiting."""
        loaded = await self._statestore.load(execution_ids)
        found = {id_: each.head.execution for id_, each in loaded.items()}
        missing = [id_ for id_ in execution_ids if id_ not in found]
        if missing:
            found |= await self._repository.executions(tenant_id, missing)
        return {
            id_: found[id_]
            for id_ in execution_ids
            if id_ in found and id_ not in self._deleted and _is_visible(found[id_], tenant_id)
        }

    async def view(self, tenant_id: str, execution_id: str) -> View:
        """Return an execution with its task runs and outputs; raise NotFound."""
        found = await self._statestore.snapshot(execution_id)
        if found is None:
            pending = self._pending.get(execution_id)
            if pending is not None and pending.tenant_id == tenant_id and self._is_new(execution_id):
                return View(execution=pending)
            execution = await self.head(tenant_id, execution_id)  # waits for a new one to appear
            found = await self._statestore.snapshot(execution_id)
            if found is None:
                runs = await self._repository.runs(tenant_id, execution_id)
                outputs = await self._repository.outputs(tenant_id, execution_id)
                return View(execution=execution, runs=runs, outputs=outputs)
        execution = found.head.execution
        if execution_id in self._deleted or not _is_visible(execution, tenant_id):
            raise NotFound(f"Execution '{execution_id}' not found.")
        self._pending.pop(execution_id, None)
        refs = {record.seq: record.ref for record in found.outputs}
        return View(execution=execution, runs=[record.run for record in found.runs], outputs=refs)

    async def next_view(self, tenant_id: str, execution_id: str) -> View:
        """
        Return the same to somebody who may be waiting for a change.

        Who asks again at once for an execution that goes on, or right after creating it, is answered when it has ended,
        or after a moment: sooner than by asking without a pause, which takes time from those who work on it.
        """
        shown = self._shown.pop(execution_id, None)
        if shown is not None and self._clock.now() - shown < timedelta(seconds=REPEAT_S):
            view = await self._view_at_end(tenant_id, execution_id)
        else:
            view = await self.view(tenant_id, execution_id)
        if not view.execution.state.is_terminated:
            self._note_shown(execution_id)
        return view

    def _note_shown(self, execution_id: str) -> None:
        self._shown[execution_id] = self._clock.now()
        if len(self._shown) > PENDING_MAX:
            self._shown.popitem(last=False)

    async def _view_at_end(self, tenant_id: str, execution_id: str) -> View:
        """Return the same when an execution has ended, or after a moment."""
        partition = partition_of(execution_id, self._queue.partitions)
        end = self._clock.now() + timedelta(seconds=REPEAT_S)
        while True:
            left = (end - self._clock.now()).total_seconds()
            if left > 0:  # an announcement wakes it; asking again this fast helps nobody
                await self._queue.wait(HISTORY, left, partitions=[partition])
            view = await self.view(tenant_id, execution_id)
            if left <= 0 or view.execution.state.is_terminated:
                return view

    async def owner(self, tenant_id: str, execution_id: str, task_run_id: str) -> View:
        """Return the execution that a task run belongs to: this one, or an iteration of a Loop below it."""
        waiting, seen = [execution_id], 0
        while waiting and seen < ITERATIONS_MAX:
            view = await self.view(tenant_id, waiting.pop(0))
            if view.run(task_run_id) is not None:
                return view
            seen += 1
            below = [Filter(field=Field.PARENT_ID, value=view.execution.id), Filter(field=Field.KIND, value="LOOP")]
            page = Page(size=ITERATIONS_MAX, total=False)
            found = await self._repository.search(tenant_id, below, page)
            waiting += [one.id for one in found.results]
        raise Refused(f"Task run id '{task_run_id}' not found in execution '{execution_id}'")

    async def _appears(self, execution_id: str) -> bool:
        """Wait for an execution whose id says that it is new."""
        if execution_id in self._deleted:
            return False
        if execution_id not in self._pending and not self._is_new(execution_id):
            return False
        return await self._followers.until(execution_id, lambda version: version is not None, self._patience_s)

    def _is_new(self, execution_id: str) -> bool:
        at, now = ids.instant_of(execution_id), self._clock.now()
        return at is not None and now - JUST_NOW < at < now + JUST_NOW


def _is_visible(execution: Execution, tenant_id: str) -> bool:
    return execution.tenant_id == tenant_id and not execution.deleted
