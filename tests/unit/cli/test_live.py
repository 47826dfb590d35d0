"""What `tiercel run` shows of an execution while it runs."""

from __future__ import annotations

import io
from typing import Any

from tiercel.cli.live import LiveView

MOMENT = "2026-01-01T00:00:00Z"


class OneAnswer:
    """An API that knows one ended execution."""

    def __init__(self, *runs: dict[str, Any]) -> None:
        self._runs = list(runs)

    async def execution(self, execution_id: str) -> dict[str, Any]:
        return {"id": execution_id, "state": ended("SUCCESS"), "taskRunList": self._runs}


def ended(*states: str) -> dict[str, Any]:
    """A history in which everything happens in the same moment."""
    histories = [{"state": state, "date": MOMENT} for state in ("CREATED", *states)]
    return {"current": histories[-1]["state"], "histories": histories}


def run(name: str, *states: str, parent: str | None = None) -> dict[str, Any]:
    """A task run that went through these states."""
    return {"id": name, "taskId": name, "parentTaskRunId": parent, "state": ended(*states)}


async def shown(*runs: dict[str, Any]) -> list[str]:
    """What is shown of the task runs, without marks and times."""
    out = io.StringIO()
    await LiveView(OneAnswer(*runs), show_logs=False, out=out).follow("e")  # type: ignore[arg-type]  # it asks this only
    return [" ".join(line.split()[2:]) for line in out.getvalue().splitlines()]


async def test_what_happens_in_one_moment_is_told_from_the_inside_out() -> None:
    """A flowable ends after its tasks, and what follows it begins after that."""
    assert [
        "outer RUNNING", "outer › inner RUNNING", "outer › inner SUCCESS", "outer SUCCESS", "next RUNNING",
        "next SUCCESS",
    ] == await shown(
        run("outer", "RUNNING", "SUCCESS"),
        run("inner", "RUNNING", "SUCCESS", parent="outer"),
        run("next", "RUNNING", "SUCCESS"),
    )  # fmt: skip


async def test_a_task_that_is_tried_again_is_told_in_order() -> None:
    """Its first failure is no end."""
    assert ["t RUNNING", "t FAILED", "t RETRYING", "t RUNNING", "t SUCCESS"] == await shown(
        run("t", "RUNNING", "FAILED", "RETRYING", "RUNNING", "SUCCESS")
    )


async def test_a_task_run_whose_parent_is_elsewhere_is_shown() -> None:
    """As that of a list that was cut."""
    assert ["t RUNNING"] == await shown(run("t", "RUNNING", parent="unknown"))
