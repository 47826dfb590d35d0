"""Logs of a process."""

from __future__ import annotations

import io
import json
import logging

import pytest

from tiercel.runtime import logging as logs


@pytest.fixture(autouse=True)
def _restored() -> object:
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    yield
    root.handlers[:], root.level = before[0], before[1]


def test_json_keeps_the_fields_of_an_event() -> None:
    """One object a line, with `action` and whatever else the event brings."""
    stream = io.StringIO()
    logs.configure(form="json", service="worker", stream=stream)

    logging.getLogger("tiercel.test").info("task ended", extra={"action": "task_ended", "seconds": 1.5})

    said = json.loads(stream.getvalue())
    assert ("worker", "task ended", "task_ended", 1.5) == tuple(
        said[name] for name in ("service", "message", "action", "seconds")
    )


def test_json_writes_what_it_does_not_know_as_text() -> None:
    """A log line is never lost because of a value in it."""
    stream = io.StringIO()
    logs.configure(form="json", stream=stream)

    logging.getLogger("tiercel.test").info("odd", extra={"thing": ValueError("x")})

    assert "x" == json.loads(stream.getvalue())["thing"]


def test_text_shows_fields_after_the_message() -> None:
    """For people: the action is for machines and stays out."""
    stream = io.StringIO()
    logs.configure(form="text", service="worker", stream=stream)

    logging.getLogger("tiercel.test").warning("slow", extra={"action": "was_slow", "seconds": 3})

    assert stream.getvalue().rstrip().endswith("WARNING worker    slow  seconds=3")


def test_libraries_that_narrate_are_heard_only_when_they_warn() -> None:
    """An operator's log holds events of Tiercel."""
    stream = io.StringIO()
    logs.configure(stream=stream)

    logging.getLogger("httpx").info("HTTP Request: GET …")

    assert "" == stream.getvalue()
