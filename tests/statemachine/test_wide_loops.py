"""What wide loops of flowables cost, and how much of them is under way at a time."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.statemachine.machine import Machine
from tiercel.messages.worker_job import TaskJob
from tiercel.model.state import State

NESTED = """\
id: nested
namespace: a.b
tasks:
  - id: outer
    type: io.kestra.plugin.core.flow.ForEach
    values: "{{{{ range(1, {width}) }}}}"
    concurrencyLimit: 0
    tasks:
      - id: inner
        type: io.kestra.plugin.core.flow.ForEach
        values: [a, b]
        tasks:
          - id: leaf
            type: io.kestra.plugin.core.debug.Return
            format: "{{{{ taskrun.value }}}}"
  - id: after
    type: io.kestra.plugin.core.debug.Return
    format: done
"""


def _run(width: int, **settings: Any) -> tuple[Machine, int]:
    """Run the loops; return the most task runs that had begun and not ended at a time."""
    machine = Machine(NESTED.format(width=width), **settings).create()
    most = 0

    def answer(job: TaskJob) -> State:
        nonlocal most
        assert machine.entry.aggregate is not None
        most = max(most, len(machine.entry.aggregate.runs))
        return State.SUCCESS

    machine.run(answer)
    return machine, most


@pytest.mark.parametrize("chunk", [2, 7, 500])
def test_loops_wider_than_the_jobs_that_are_allowed_come_to_their_end(chunk: int) -> None:
    """Each child runs once, however little room there is, and in whatever chunks they are started."""
    machine, _ = _run(40, jobs_max=5, chunk=chunk)

    assert State.SUCCESS is machine.state
    assert 1 + 40 + 80 + 1 == len(machine.rows)
    assert {State.SUCCESS} == {record.run.state for record in machine.rows.values()}


def test_a_loop_without_a_limit_begins_no_more_flowables_than_there_may_be_jobs() -> None:
    """What has begun is held in memory and read again as a whole: a wide loop must not begin everything at once."""
    _, most = _run(200, jobs_max=10)

    assert most <= 1 + 10 + 10


def test_four_times_the_children_cost_four_times_as_much() -> None:
    """One of the flowables that wait for room is looked at for each job that ends, not all of them."""

    def calls(width: int) -> int:
        count = 0

        def profile(*_: Any) -> None:
            nonlocal count
            count += 1

        sys.setprofile(profile)
        try:
            _run(width, jobs_max=20)
        finally:
            sys.setprofile(None)
        return count

    assert calls(400) < 1.3 * 4 * calls(100)
