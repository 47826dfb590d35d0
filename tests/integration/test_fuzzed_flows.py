"""A flow that validates may fail, but with a sentence: random tasks and flows over every type hold it to that."""

from __future__ import annotations

from tests.fuzz.flows import try_documents, try_flows, try_tasks


def test_random_tasks_fail_with_a_sentence_or_not_at_all() -> None:
    """Never with an error of Python's; `python -m tests.fuzz.flows` tries more."""
    ends, found = try_tasks(400, 7)

    assert [] == found
    assert ends["SUCCESS"] > 30


def test_random_flows_come_to_an_end() -> None:
    """On all services each of them ends or waits at a pause, and no decision breaks."""
    ends, found = try_flows(60, 7)

    assert [] == found
    assert ends["refused"] < 60


def test_what_must_not_be_read_fails_its_task() -> None:
    """A path that leads out of the storage is its author's mistake: the execution is there, and FAILED."""
    log = {"id": "log", "type": "io.kestra.plugin.core.log.Log", "message": "x"}
    loop = {"id": "loop", "type": "io.kestra.plugin.core.flow.Loop", "values": "kestra:///../x", "tasks": [log]}

    ends, found = try_documents([{"namespace": "company.team", "tasks": [loop]}])

    assert [] == found
    assert {"FAILED": 1} == dict(ends)
