"""What executors keep in memory of executions."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.contract.samples import head
from tiercel.executor.cache import RECORD_BYTES, Entry, ExecutionCache
from tiercel.executor.core.aggregate import Aggregate
from tiercel.executor.core.draft import Draft
from tiercel.executor.core.facts import Facts, Missing
from tiercel.executor.settings import ExecutorSettings
from tiercel.executor.surroundings import surroundings_of
from tiercel.model.execution import OutputRef
from tiercel.model.live import OutputRecord

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AROUND = surroundings_of(ExecutorSettings())


def output(seq: int, task_id: str, *path: str) -> OutputRecord:
    return OutputRecord(seq=seq, task_id=task_id, ref=OutputRef(size=100, value={"seq": seq}), path=path)


def saved(entry: Entry, *outputs: OutputRecord) -> Facts:
    """Save outputs of an execution; return what the next decision knows."""
    draft = Draft(entry.aggregate or Aggregate(head("a"), {}), NOW)
    draft.outputs += outputs
    entry.commit(draft)
    return entry.facts(AROUND)


def test_outputs_of_a_loop_that_nobody_has_asked_for_are_not_kept() -> None:
    """A loop over a hundred thousand values leaves as many outputs: memory holds what decisions need."""
    entry = Entry(0, None, None)

    facts = saved(entry, *(output(seq, "item", str(seq)) for seq in range(1000)))

    assert 0 == entry.outputs_bytes
    with pytest.raises(Missing):
        facts.outputs_of("item")
    assert [] == list(facts.outputs_of("other")), "a task that has no outputs is not asked for"


def test_outputs_of_a_loop_that_were_asked_for_are_kept_from_then_on() -> None:
    """What was read once, and what comes after it, is at hand for the next decision."""
    entry = Entry(0, None, None)
    first, second = output(1, "item", "a"), output(2, "item", "b")
    saved(entry, first)

    entry.learn("item", [first])
    facts = saved(entry, second)

    assert [first, second] == list(facts.outputs_of("item"))
    assert [second] == list(facts.outputs_of("item", ("b",)))


def test_outputs_outside_loops_are_kept() -> None:
    """The next task may need them, and they are few."""
    only = output(1, "first")

    assert [only] == list(saved(Entry(0, None, None), only).outputs_of("first"))


def test_outputs_that_replace_others_count_once() -> None:
    """A Loop shows its counters as outputs, and changes them with each iteration that ends."""
    entry = Entry(0, None, None)

    for _ in range(100):
        saved(entry, output(1, "loop"), output(1, "loop"))

    assert RECORD_BYTES + 100 == entry.outputs_bytes


def test_entries_that_were_used_long_ago_leave_when_outputs_take_too_much() -> None:
    """The bound is of bytes, whatever the number of executions; what is in use stays even if it is larger alone."""
    cache = ExecutionCache(count_max=5000, outputs_bytes_max=3 * (RECORD_BYTES + 100))
    for number in range(3000):
        entry = Entry(0, None, None)
        saved(entry, output(1, "first"))
        cache.put(str(number), entry)
    large = Entry(0, None, None)
    saved(large, *(output(seq, "first") for seq in range(10)))

    cache.shrink()
    kept = [number for number in range(3000) if cache.get(str(number)) is not None]
    cache.put("large", large)
    cache.shrink()

    assert [2997, 2998, 2999] == kept
    assert large is cache.get("large")
    assert 1 == len(cache)


def test_no_more_entries_are_kept_than_the_operator_allows() -> None:
    """What is used leaves last."""
    cache = ExecutionCache(count_max=2, outputs_bytes_max=1000)
    for name in "abc":
        cache.put(name, Entry(0, None, None))
    cache.get("a")

    cache.shrink()

    assert [None, None] == [cache.get("b"), cache.get("d")]
    assert 2 == len(cache)
