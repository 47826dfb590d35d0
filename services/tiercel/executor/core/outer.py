"""
What the tasks of another execution left: of a child whose parent names it, of one that a flow trigger has heard of.

They are asked for one task at a time, when an expression touches them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tiercel.executor.core.facts import Facts


class OuterOutputs(Mapping[str, Any]):
    """`outputs` of one execution: task id -> outputs, by the values of iterations above them."""

    __slots__ = ("_execution_id", "_facts")

    def __init__(self, facts: Facts, execution_id: str) -> None:
        self._facts = facts
        self._execution_id = execution_id

    def __getitem__(self, key: str) -> Any:
        tree: dict[str, Any] = {}
        records = self._facts.ask("outer", self._execution_id, key)
        if not records:
            raise KeyError(key)
        for record in records:
            place = tree
            for part in record.path:
                place = place.setdefault(part, {})
            large = record.ref.uri is not None
            place.update((self._facts.ask("large", record.ref.uri) if large else record.ref.value) or {})
        return tree

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts.ask("outer_names", self._execution_id))

    def __len__(self) -> int:
        return len(self._facts.ask("outer_names", self._execution_id))
