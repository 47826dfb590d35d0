"""
Executions in memory: a bounded cache over the state store.

An entry holds the aggregate, and the outputs and loop values that decisions have asked for. Entries that nobody has
touched for longest leave first; a partition that is lost takes its entries with it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final

from tiercel.executor.core.aggregate import Aggregate
from tiercel.executor.core.draft import Draft
from tiercel.executor.core.facts import Facts, OutputIndex, Surroundings, Want
from tiercel.executor.core.plan import FlowPlan
from tiercel.model.live import OutputKind, OutputRecord
from tiercel.statestore.base import Loaded

RECORD_BYTES: Final = 700
"""Bytes that the record of an output takes in memory besides its value."""


class Entry:
    """One execution in memory, with what is known beside it."""

    __slots__ = ("aggregate", "complete", "outputs", "outputs_bytes", "partition", "plan", "unread", "values")

    def __init__(self, partition: int, plan: FlowPlan | None, loaded: Loaded | None) -> None:
        self.partition = partition
        self.plan = plan
        self.aggregate = (
            None if loaded is None else Aggregate(loaded.head, {record.run.seq: record for record in loaded.runs})
        )
        self.outputs: OutputIndex = {}
        self.complete = loaded is None
        """True when the execution was created in this process: what has outputs is known of every task."""
        self.unread: set[str] = set()
        """Tasks in loops that have outputs which no decision has asked for: these are not kept, there may be many."""
        self.outputs_bytes = 0
        self.values: dict[int, list[str]] = {}

    def facts(self, around: Surroundings) -> Facts:
        """Return the facts that are known about the execution."""
        facts = Facts(self.plan, around)
        if self.aggregate is not None:
            facts.outputs = self.index
            for seq, values in self.values.items():
                facts.known[Want("values", (seq,))] = values
        return facts

    @property
    def index(self) -> OutputIndex:
        """The outputs that are known; a task that is not there is asked for, unless it is known to have none."""
        return _Complete(self.outputs, self.unread) if self.complete else self.outputs

    def learn(self, task_id: str, records: Iterable[OutputRecord]) -> None:
        """Keep the saved outputs of a task."""
        self.unread.discard(task_id)
        index = self.outputs.setdefault(task_id, {})
        for record in records:
            place = index.setdefault(record.path, {})
            earlier = place.get(record.seq)
            place[record.seq] = record
            self.outputs_bytes += record.ref.size - earlier.ref.size if earlier else record.ref.size + RECORD_BYTES

    def commit(self, draft: Draft) -> None:
        """Follow the database."""
        if self.aggregate is None:
            self.aggregate = Aggregate(draft.head, {})
        self.aggregate.commit(draft)
        for record in draft.outputs:
            if record.kind is OutputKind.VALUES and record.ref.value is None:
                self.values.pop(record.seq, None)
            elif record.kind is OutputKind.VALUES:
                self.values[record.seq] = (record.ref.value or {})["values"]
            elif record.kind is OutputKind.OUTPUTS:
                self._note(record)
        if draft.removed_outputs:
            self.outputs, self.outputs_bytes, self.complete, self.unread = {}, 0, False, set()

    def _note(self, record: OutputRecord) -> None:
        if record.task_id in self.outputs or (self.complete and not record.path):
            self.learn(record.task_id, (record,))
        elif self.complete:
            self.unread.add(record.task_id)


class _Complete(dict[str, dict[tuple[str, ...], dict[int, OutputRecord]]]):
    """Outputs of which it is known who has any: a task that is not there has none, unless it is an unread one."""

    def __init__(self, outputs: OutputIndex, unread: set[str]) -> None:
        super().__init__(outputs)
        self._unread = unread

    def get(self, key: str, default: Any = None) -> Any:
        found = super().get(key)
        return {} if found is None and key not in self._unread else found


class ExecutionCache:
    """The entries, least recently used first."""

    def __init__(self, count_max: int, outputs_bytes_max: int) -> None:
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._outputs_bytes: dict[str, int] = {}
        """What the outputs of an entry took when it was put here last."""
        self._total = 0
        self._count_max = count_max
        self._outputs_bytes_max = outputs_bytes_max

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, execution_id: str) -> Entry | None:
        """Return an entry and mark it as used."""
        entry = self._entries.get(execution_id)
        if entry is not None:
            self._entries.move_to_end(execution_id)
        return entry

    def put(self, execution_id: str, entry: Entry) -> None:
        """Keep an entry."""
        self._entries[execution_id] = entry
        self._entries.move_to_end(execution_id)
        self._total += entry.outputs_bytes - self._outputs_bytes.get(execution_id, 0)
        if entry.outputs_bytes:
            self._outputs_bytes[execution_id] = entry.outputs_bytes
        else:
            self._outputs_bytes.pop(execution_id, None)

    def drop(self, execution_ids: Iterable[str]) -> None:
        """Forget executions: they are read again when they are needed."""
        for execution_id in execution_ids:
            self._entries.pop(execution_id, None)
            self._total -= self._outputs_bytes.pop(execution_id, 0)

    def drop_partitions(self, partitions: set[int]) -> None:
        """Forget everything of partitions that are no longer ours."""
        self.drop([key for key, entry in self._entries.items() if entry.partition in partitions])

    def clear(self) -> None:
        self._entries.clear()
        self._outputs_bytes.clear()
        self._total = 0

    def shrink(self) -> None:
        """
        Keep within the bounds.

        The entry that was used last stays, whatever it takes: it would be read again for the next event.
        """
        while len(self._entries) > 1 and (
            len(self._entries) > self._count_max or self._total > self._outputs_bytes_max
        ):
            self.drop((next(iter(self._entries)),))
