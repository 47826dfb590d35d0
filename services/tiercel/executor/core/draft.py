"""
The draft: the only thing that a decision writes to.

It is a copy-on-write view of an aggregate (or of the draft before it in the same batch) which holds the changed records
and, in order, what is to be sent. What it holds is exactly what is saved, sent and indexed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from tiercel.errors import InternalError
from tiercel.executor.core.aggregate import Aggregate
from tiercel.executor.core.plan import ROOT, Node
from tiercel.messages.execution_event import DeleteRequested
from tiercel.model.execution import Execution, LogEntry, MetricEntry, TaskRun
from tiercel.model.live import Branch, HeadRecord, OutputRecord, RunRecord, Timer, TimerKind
from tiercel.model.state import State, StateChange
from tiercel.queue.base import Outgoing, OutgoingJob
from tiercel.statestore.base import Held

replace = msgspec.structs.replace
S = TypeVar("S", Execution, TaskRun)


def moved(thing: S, state: State, at: datetime) -> S:
    """Return an execution or task run in its new state, with its history; time never runs backwards in it."""
    if thing.history and thing.history[-1].date > at:
        at = thing.history[-1].date
    return replace(thing, state=state, history=(*thing.history, StateChange(state, at)))


class Draft:
    """What one event (or all events of a batch) changes of one execution."""

    def __init__(self, base: Aggregate | Draft | None, at: datetime) -> None:
        self._base = base
        self.at = at
        self._head: HeadRecord | None = base.head if base is not None else None
        self.runs: dict[int, RunRecord] = {}
        self.created: set[int] = set()
        self.removed: list[int] = []
        self.outputs: list[OutputRecord] = []
        self.removed_outputs: list[int] = []
        self.timers: dict[tuple[TimerKind, int], Timer | None] = {}
        self.held: dict[int, Held | None] = {}
        self.jobs: dict[int, OutgoingJob] = {}
        self.revoked: list[int] | None = None
        self.messages: list[Outgoing] = []
        self.logs: list[LogEntry] = []
        self.measurements: list[MetricEntry] = []
        self.deletion: DeleteRequested | None = None
        self.moves: list[int] = []
        """Lengths of the execution's history after each change of its state in this draft."""
        self.ready: list[int] = []
        """Flowables (`seq`, ROOT) whose children are to be looked at before the event is done."""
        self.pending_starts: list[tuple[int, Node]] = []
        """Children outside the order of their lists (onPause) that are to be started before the event is done."""
        self.leave: State | None = None
        """Set when the execution is to end now, in this state, whatever still waits."""
        self.started = 0
        """Children that the event has started; the next chunk comes with an event of its own."""
        self.started_bytes = 0
        """Characters of the values of these children."""

    @property
    def head(self) -> HeadRecord:
        """The head as it is now; asking for one that does not exist is a bug."""
        if self._head is None:
            raise InternalError("An event was decided for an execution that does not exist.")
        return self._head

    @property
    def exists(self) -> bool:
        return self._head is not None

    @property
    def deleted(self) -> bool:
        return self.deletion is not None

    @property
    def execution(self) -> Execution:
        return self.head.execution

    @property
    def touched(self) -> bool:
        """Tell whether anything is to be saved or sent."""
        return bool(
            self._head is not (self._base.head if self._base is not None and self._has_head(self._base) else None)
            or self.runs
            or self.removed
            or self.messages
            or self.outputs
            or self.logs
            or self.measurements
            or self.deleted
        )

    @staticmethod
    def _has_head(base: Aggregate | Draft) -> bool:
        return base.exists if isinstance(base, Draft) else True

    def update(self, **changes: Any) -> None:
        """Change fields of the head."""
        self._head = replace(self.head, **changes)

    def set_head(self, head: HeadRecord) -> None:
        """Set the head as a whole (a new execution, a restart)."""
        self._head = head

    def change(self, **changes: Any) -> None:
        """Change fields of the execution."""
        self._head = replace(self.head, execution=replace(self.execution, **changes))

    def move(self, state: State) -> bool:
        """Bring the execution into a state; False, and nothing changed, when the table refuses."""
        execution = self.execution
        if execution.state is state or not execution.can_become(state):
            return False
        self._head = replace(self.head, execution=moved(execution, state, self.at))
        self.moves.append(len(self.execution.history))
        return True

    def run(self, seq: int) -> RunRecord | None:
        """Return a task run that has not ended, or that this draft has changed; None for any other."""
        found = self.runs.get(seq)
        if found is not None:
            return found
        if seq in self.removed or self._base is None:
            return None
        if isinstance(self._base, Draft):
            return self._base.run(seq)
        return self._base.runs.get(seq)

    def get(self, seq: int) -> RunRecord:
        """Return a task run that must be there."""
        found = self.run(seq)
        if found is None:
            raise InternalError(f"Task run {seq} of execution '{self.execution.id}' is not in memory.")
        return found

    def put(self, record: RunRecord) -> None:
        """Note a changed task run."""
        self.runs[record.run.seq] = record

    def add(self, record: RunRecord) -> None:
        """Note a new task run."""
        self.created.add(record.run.seq)
        self.put(record)

    def turn(self, seq: int, state: State, **changes: Any) -> bool:
        """Bring a task run into a state, changing other fields of it too; False when the table refuses."""
        record = self.run(seq)
        if record is None or record.run.state is state or not record.run.can_become(state):
            return False
        run = moved(record.run, state, self.at)
        self.put(replace(record, run=replace(run, **changes) if changes else run))
        return True

    def live_runs(self) -> Iterator[RunRecord]:
        """Yield the task runs that have not ended, in order of `seq`."""
        for seq in sorted(self._seqs()):
            record = self.run(seq)
            if record is not None and not record.folded and not record.run.state.is_terminated:
                yield record

    def _seqs(self) -> set[int]:
        if self._base is None:
            below: set[int] = set()
        elif isinstance(self._base, Draft):
            below = self._base._seqs()
        else:
            below = set(self._base.runs)
        return (below | set(self.runs)) - set(self.removed)

    def branch(self, seq: int) -> Branch:
        """Return the counters of a flowable, or of the execution for ROOT."""
        if seq == ROOT:
            return self.head.branch
        branch = self.get(seq).branch
        return branch if branch is not None else Branch()

    def set_branch(self, seq: int, branch: Branch) -> None:
        """Replace the counters of a flowable, or of the execution."""
        if seq == ROOT:
            self.update(branch=branch)
        else:
            self.put(replace(self.get(seq), branch=branch))

    def own_outputs(self) -> Iterator[OutputRecord]:
        """Yield outputs that are not saved yet: of this draft and of those before it in the batch."""
        if isinstance(self._base, Draft):
            yield from self._base.own_outputs()
        yield from self.outputs

    def set_timer(self, kind: TimerKind, subject: int, due: datetime) -> None:
        """Ask to be woken."""
        self.timers[kind, subject] = Timer(owner=self.execution.id, kind=kind, subject=subject, due=due)
        if (kind, subject) not in self.head.timers:
            self.update(timers=(*self.head.timers, (int(kind), subject)))

    def clear_timer(self, kind: TimerKind, subject: int) -> None:
        """Ask not to be woken any more."""
        if (kind, subject) in self.head.timers:
            self.timers[kind, subject] = None
            self.update(timers=tuple(timer for timer in self.head.timers if timer != (kind, subject)))

    def log(self, level: str, message: str, run: TaskRun | None = None) -> None:
        """Write a line into the execution's log."""
        execution = self.execution
        self.logs.append(
            LogEntry(
                tenant_id=execution.tenant_id,
                namespace=execution.namespace,
                flow_id=execution.flow_id,
                timestamp=self.at,
                level=level,
                message=message,
                execution_id=execution.id,
                task_id=run.task_id if run else None,
                task_run_id=run.id if run else None,
                attempt_number=max(0, run.attempt - 1) if run else None,
            )
        )

    def _was_held(self, seq: int) -> bool:
        """Tell whether a worker had the task run before this draft."""
        if self._base is None:
            return False
        record = self._base.run(seq) if isinstance(self._base, Draft) else self._base.runs.get(seq)
        return record is not None and record.worker is not None

    def absorb(self, later: Draft) -> None:
        """Take over the draft of a later event of the same batch."""
        self._head = later._head
        self.at = later.at
        self.runs.update(later.runs)
        self.created |= later.created
        for seq in later.removed:
            self.runs.pop(seq, None)
        self.removed += later.removed
        self.outputs += later.outputs
        self.removed_outputs += later.removed_outputs
        self.timers.update(later.timers)
        for seq, held in later.held.items():
            if held is None and seq in self.held and not self._was_held(seq):
                del self.held[seq]  # taken and given back within the batch: nobody needs to know
            else:
                self.held[seq] = held
        if later.revoked is not None:
            gone = later.revoked or list(self.jobs)
            for seq in gone:
                self.jobs.pop(seq, None)
            self.revoked = later.revoked if not later.revoked else [*(self.revoked or []), *later.revoked]
        self.jobs.update(later.jobs)
        self.messages += later.messages
        self.logs += later.logs
        self.measurements += later.measurements
        self.deletion = self.deletion or later.deletion
