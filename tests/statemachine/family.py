"""
An execution with the executions that it starts, each a machine of its own.

Messages go from one to the other in the order in which they were sent, through one line, so that nothing is decided
inside another decision.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from tests.statemachine.machine import EXECUTION, Answer, Machine, succeed
from tiercel.executor.cache import Entry
from tiercel.executor.changes import changes_of
from tiercel.executor.core.draft import Draft
from tiercel.executor.core.facts import Facts, Failure, Missing, Want
from tiercel.executor.core.iterations import WINDOW
from tiercel.executor.core.plan import FlowPlan, inside
from tiercel.messages import codec
from tiercel.messages import execution_event as events
from tiercel.messages.topics import BROADCAST, EXECUTION_EVENT
from tiercel.messages.worker_job import TaskJob
from tiercel.model.live import OutputKind, OutputRecord
from tiercel.model.state import State


class Member(Machine):
    """One execution of a family."""

    def __init__(self, family: Family, event: events.CreateExecution, flow: str, **settings: Any) -> None:
        super().__init__(flow, **settings)
        self.family = family
        self.id = event.execution_id
        self.pages: dict[int, OutputRecord] = {}
        plan = inside(self.plan, event.loop_run)
        assert plan is not None
        self.plan = plan
        self.entry = Entry(0, plan, None)

    def _answer(self, missing: Missing, facts: Facts) -> None:
        rest = [want for want in missing.wants if not self._answered(want, facts)]
        if rest:
            super()._answer(Missing(*rest), facts)

    def _answered(self, want: Want, facts: Facts) -> bool:
        files = self.family.files
        match want.sort, want.key:
            case "outer", (str() as other, str() as task_id):
                records = self.family.members[other].outputs.values()
                facts.known[want] = [record for record in records if record.task_id == task_id]
            case "outer_names", (str() as other,):
                facts.known[want] = list({o.task_id for o in self.family.members[other].outputs.values()})
            case "pages", places:
                facts.known[want] = [self.pages[place] for place in places]
            case "row_count", (str() as uri,):
                facts.known[want] = len(files[uri]) if uri in files else Failure(FileNotFoundError(uri))
            case "rows", (str() as uri, int() as window):
                facts.known[want] = files[uri][window * WINDOW : (window + 1) * WINDOW]
            case "stored", (str() as uri, bytes() as content):
                self.family.stored[uri] = content
                facts.known[want] = uri
            case "read_lines", (str() as uri,):
                facts.known[want] = files[uri]
            case "flow", (str(), str() as flow_id, _):
                text = self.family.flows.get(flow_id)
                facts.known[want] = FlowPlan(self.family.parse(text)) if text is not None else None
            case _:
                return False
        return True

    def _save(self, draft: Draft) -> None:
        pages = [record for record in draft.outputs if record.kind is OutputKind.PAGE]
        for record in pages:
            self.pages[record.seq] = msgspec.msgpack.decode(codec.encode(record), type=OutputRecord)
        shown = changes_of(draft, 0, None)
        assert len(shown.outputs) == len(draft.outputs)
        super()._save(draft)
        for record in pages:
            self.outputs.pop(record.seq, None)
        if draft.deleted:
            self.family.deleted.append(self.id)

    def _deliver(self, message: Any) -> None:
        if message.topic is EXECUTION_EVENT:
            self.family.line.append(message.message)
        elif message.topic is BROADCAST:
            self.broadcasts.append(message.message)


class Family:
    """All executions that come of one."""

    def __init__(self, flow: str, *others: str, **settings: Any) -> None:
        self.text = flow
        self.flows = {self.parse(text).id: text for text in others}
        self.settings = settings
        self.members: dict[str, Member] = {}
        self.line: deque[Any] = deque()
        self.files: dict[str, list[str]] = {}
        self.stored: dict[str, bytes] = {}
        self.deleted: list[str] = []
        self.longest_burst = 0
        self.now = Machine(flow).now

    @staticmethod
    def parse(text: str) -> Any:
        return Machine(text).plan.flow

    def create(self) -> Family:
        """Create the first execution, and whatever it starts."""
        flow = self.parse(self.text)
        return self.send(
            events.CreateExecution(
                execution_id=EXECUTION, at=self.now, namespace=flow.namespace, flow_id=flow.id, flow_revision=1
            )
        )

    def send(self, event: Any) -> Family:
        """Deliver an event, and everything that follows from it."""
        self.line.append(event)
        self._deliver()
        return self

    def _deliver(self) -> None:
        while self.line:
            message = self.line.popleft()
            member = self.members.get(message.execution_id)
            if message.execution_id in self.deleted:
                continue
            if member is None:
                if not isinstance(message, events.CreateExecution):
                    continue
                text = self.flows.get(message.flow_id, self.text)
                member = self.members[message.execution_id] = Member(self, message, text, **self.settings)
            before = len(self.line)
            member.step(message)
            self.longest_burst = max(self.longest_burst, len(self.line) - before)

    def run(self, answer: Answer = succeed) -> Family:
        """Let workers answer every job until none is left."""
        while (member := next((one for one in self.members.values() if one.jobs), None)) is not None:
            self.work(member, answer)
        return self

    def work(self, member: Member, answer: Answer = succeed) -> TaskJob:
        """Let a worker answer the next job of one execution."""
        job = member.jobs.popleft()
        member.start(job)
        result = answer(job)
        state, outputs = result if isinstance(result, tuple) else (result, {"value": job.task_id})
        member.finish(job, state, outputs)
        self._deliver()
        return job

    @property
    def root(self) -> Member:
        return self.members[EXECUTION]

    def children(self, parent: str = EXECUTION) -> list[Member]:
        """Return the executions that one has started, in order."""
        return [one for one in self.members.values() if one.head and one.head.execution.parent_id == parent]

    def outputs(self, task_id: str) -> dict[str, Any]:
        """Return the outputs of a task of the first execution."""
        found = [record for record in self.root.outputs.values() if record.task_id == task_id]
        return dict(found[-1].ref.value or {})

    def states(self) -> list[State]:
        """Return the states of the children of the first execution, in order."""
        return [one.state for one in self.children()]
