"""
The aggregate: an execution in memory.

It holds the head and the task runs that have not ended; ended ones are counted by their parents and leave memory. Only
`commit` changes it, after the database has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiercel.model.live import HeadRecord, RunRecord

if TYPE_CHECKING:
    from tiercel.executor.core.draft import Draft


class Aggregate:
    """Head and live task runs of one execution, as they are saved."""

    __slots__ = ("head", "runs")

    def __init__(self, head: HeadRecord, runs: dict[int, RunRecord]) -> None:
        self.head = head
        self.runs = runs

    def commit(self, draft: Draft) -> None:
        """Take over what a saved draft changed."""
        self.head = draft.head
        for seq, record in draft.runs.items():
            if record.folded:
                self.runs.pop(seq, None)
            else:
                self.runs[seq] = record
        for seq in draft.removed:
            self.runs.pop(seq, None)
