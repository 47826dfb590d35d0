"""What a batch writes of what happened within it."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from tests.contract.samples import head, run
from tiercel.executor.core.aggregate import Aggregate
from tiercel.executor.core.draft import Draft
from tiercel.statestore.base import Held

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HELD = Held(execution_id="a", seq=1, attempt=1, worker="w")


def batch(worker_before: str | None) -> Draft:
    """Return the draft of a batch in which a worker took a task run and gave it back."""
    record = msgspec.structs.replace(run(1), worker=worker_before)
    first = Draft(Aggregate(head("a"), {1: record}), NOW)
    first.held[1] = HELD
    later = Draft(first, NOW)
    later.held[1] = None
    first.absorb(later)
    return first


def test_what_is_taken_and_given_back_within_a_batch_is_not_written() -> None:
    """Nobody needs to know who had it."""
    assert {} == batch(worker_before=None).held


def test_what_a_worker_had_before_the_batch_is_given_back() -> None:
    """Its row is there and must go."""
    assert {1: None} == batch(worker_before="other").held
