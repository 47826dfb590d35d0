"""
The core, stepped: one execution (and its children) with a scripted worker.

`step` folds one event and follows the messages that the execution sends to itself; `run` lets the worker answer every
job until nothing is left. Everything is committed as the shell would commit it, through the codec.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from tiercel.executor.cache import Entry
from tiercel.executor.changes import changes_of, stamp
from tiercel.executor.core.decide import decide
from tiercel.executor.core.draft import Draft
from tiercel.executor.core.facts import Facts, Lanes, Missing
from tiercel.executor.core.plan import FlowPlan
from tiercel.executor.core.successors import taken_over
from tiercel.executor.settings import ExecutorSettings
from tiercel.executor.surroundings import surroundings_of
from tiercel.flowspec.parse import parse_flow
from tiercel.messages import codec
from tiercel.messages import execution_event as events
from tiercel.messages.successor import SuccessorResult
from tiercel.messages.topics import BROADCAST, EXECUTION_EVENT
from tiercel.messages.worker_job import TaskJob
from tiercel.model.execution import OutputRef
from tiercel.model.live import HeadRecord, OutputKind, OutputRecord, RunRecord, Timer
from tiercel.model.state import State
from tiercel.statestore.base import Loaded

START = datetime(2026, 1, 1, tzinfo=UTC)
EXECUTION = "execution-1"

Answer = Callable[[TaskJob], State | tuple[State, dict[str, Any] | None]]


def succeed(job: TaskJob) -> State:
    """A worker for which everything works."""
    return State.SUCCESS


class Machine:
    """One execution of a flow, its saved records, and what it has sent."""

    def __init__(self, flow: str, *, inputs: dict[str, Any] | None = None, **settings: Any) -> None:
        self.plan = FlowPlan(parse_flow(flow))
        self.around = surroundings_of(ExecutorSettings(**settings))
        self.now = START
        self.head: HeadRecord | None = None
        self.rows: dict[int, RunRecord] = {}
        self.outputs: dict[int, OutputRecord] = {}
        self.values: dict[int, list[str]] = {}
        self.jobs: deque[TaskJob] = deque()
        self.timers: dict[tuple[int, int], Timer] = {}
        self.messages: list[Any] = []
        self.broadcasts: list[Any] = []
        self.logs: list[str] = []
        self.flows: dict[tuple[str, str], FlowPlan] = {}
        self.lanes = Lanes(frozenset({"default"}))
        """Lanes that live workers serve, as far as is known."""
        self.sent_to: list[str] = []
        """The lanes of the jobs that were sent."""
        self.inputs = inputs
        self.entry = Entry(0, self.plan, None)

    def create(self, **changes: Any) -> Machine:
        """Create and start the execution."""
        flow = self.plan.flow
        self.step(
            events.CreateExecution(
                execution_id=EXECUTION, at=self.now, namespace=flow.namespace, flow_id=flow.id, flow_revision=1,
                inputs=self.inputs, **changes,
            )
        )  # fmt: skip
        return self

    def step(self, event: Any) -> Draft:
        """Decide one event, save it, and deliver what the execution sent to itself."""
        facts = self.entry.facts(self.around)
        for _ in range(50):
            try:
                draft = decide(self.entry.aggregate, event, facts)
                break
            except Missing as missing:
                self._answer(missing, facts)
        told = taken_over(draft, event) if isinstance(event, events.TaskFinished) else ()
        if draft.exists and draft.touched:
            self._save(draft)
        for message in draft.messages:
            self._deliver(message)
        for each in told:
            self.step(each)
        return draft

    def _answer(self, missing: Missing, facts: Facts) -> None:
        for want in missing.wants:
            match want.sort:
                case "outputs":
                    self.entry.learn(want.key[0], [o for o in self.outputs.values() if o.task_id == want.key[0]])
                    facts.outputs = self.entry.index
                case "runs":
                    facts.runs = list(self.rows.values())
                case "output_names":
                    facts.known[want] = list(dict.fromkeys(o.task_id for o in self.outputs.values()))
                case "all_outputs":
                    facts.known[want] = list(self.outputs.values())
                case "values":
                    facts.known[want] = self.values[want.key[0]]
                case "lanes":
                    facts.known[want] = self.lanes
                case "flow":
                    facts.known[want] = self.flows.get((want.key[0], want.key[1]))
                case _:
                    raise AssertionError(f"the machine has no answer to {want}")

    def _save(self, draft: Draft) -> None:
        was = None if self.head is None else self.head.execution.version
        stamp(draft, was)
        changes = changes_of(draft, 0, was)
        self.head = msgspec.msgpack.decode(codec.encode(changes.head), type=HeadRecord)
        for seq in changes.removed_runs:
            self.rows.pop(seq, None)
        for record in (*changes.new_runs, *changes.changed_runs):
            self.rows[record.run.seq] = msgspec.msgpack.decode(codec.encode(record), type=RunRecord)
        for output in changes.outputs:
            if output.kind is OutputKind.VALUES:
                self.values[output.seq] = (output.ref.value or {})["values"]
            else:
                self.outputs[output.seq] = output
        for key in changes.cleared_timers:
            self.timers.pop((int(key[0]), key[1]), None)
        for timer in changes.timers:
            self.timers[int(timer.kind), timer.subject] = timer
        if changes.revoked is not None:
            gone = set(changes.revoked)
            self.jobs = deque(job for job in self.jobs if gone and job.seq not in gone)
        for sent in changes.jobs:
            job = sent.job
            assert isinstance(job, TaskJob)
            self.jobs.append(job)
            self.sent_to.append(sent.lane)
        self.logs += [entry.message for entry in draft.logs]
        self.entry.commit(draft)

    def _deliver(self, message: Any) -> None:
        if message.topic is BROADCAST:
            self.broadcasts.append(message.message)
        elif message.topic is EXECUTION_EVENT and message.key == EXECUTION:
            self.step(message.message)
        else:
            self.messages.append(message.message)

    def start(self, job: TaskJob, worker: str = "w1") -> None:
        """Let a worker claim a job."""
        self.step(
            events.TaskStarted(execution_id=EXECUTION, at=self.now, seq=job.seq, attempt=job.attempt, worker=worker)
        )

    def finish(
        self,
        job: TaskJob,
        state: State = State.SUCCESS,
        outputs: Any = None,
        worker: str = "w1",
        successor: SuccessorResult | None = None,
    ) -> None:
        """Let a worker end a job."""
        ref = OutputRef(size=10, value=outputs) if outputs is not None else None
        self.step(
            events.TaskFinished(
                execution_id=EXECUTION, at=self.now, seq=job.seq, attempt=job.attempt, worker=worker, state=state,
                outputs=ref, error="it failed" if state is State.FAILED else None, successor=successor,
            )
        )  # fmt: skip

    def run(self, answer: Answer = succeed, *, jobs_max: int = 100_000) -> Machine:
        """Let the worker answer every job, in order, until none is left."""
        for _ in range(jobs_max):
            if not self.jobs:
                return self
            job = self.jobs.popleft()
            self.start(job)
            result = answer(job)
            state, outputs = result if isinstance(result, tuple) else (result, {"value": job.task_id})
            self.finish(job, state, outputs)
        raise AssertionError("the execution does not come to an end")

    def pass_time(self, seconds: float) -> Machine:
        """Let time pass, and timers come due in their order."""
        until = self.now + timedelta(seconds=seconds)
        while due := sorted((t for t in self.timers.values() if t.due <= until), key=lambda t: t.due):
            self.now = max(self.now, due[0].due)
            timer = self.timers.pop((int(due[0].kind), due[0].subject))
            self.step(events.TimerDue(execution_id=EXECUTION, at=self.now, kind=timer.kind, subject=timer.subject))
        self.now = until
        return self

    def reload(self) -> Machine:
        """Forget memory and read the execution again, as another executor would."""
        assert self.head is not None
        live = tuple(record for record in self.rows.values() if not record.folded)
        self.entry = Entry(0, self.plan, Loaded(head=self.head, runs=live))
        return self

    @property
    def state(self) -> State:
        assert self.head is not None
        return self.head.execution.state

    @property
    def history(self) -> list[State]:
        assert self.head is not None
        return [change.state for change in self.head.execution.history]

    def states(self) -> list[tuple[str, str]]:
        """Return the task runs in order: task id (with value) and state."""
        return [
            (record.run.task_id + (f"[{record.run.value}]" if record.run.value else ""), str(record.run.state))
            for _, record in sorted(self.rows.items())
        ]

    def seq_of(self, task_id: str) -> int:
        """Return the place of the last run of a task."""
        return max(seq for seq, record in self.rows.items() if record.run.task_id == task_id)
