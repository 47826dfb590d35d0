"""PostgreSQL is away for a while: everything waits, says so, and goes on; no process ends."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from tests.acceptance.installation import Installation
from tests.patience import PATIENCE_S, until

WORKING = """\
id: working
namespace: bad
tasks:
  - id: before
    type: io.kestra.plugin.scripts.shell.Commands
    taskRunner:
      type: io.kestra.plugin.core.runner.Process
    commands: [echo up, sleep 3]
  - id: after
    type: io.kestra.plugin.core.debug.Return
    format: fine
"""
MUTE_S = 20.0
"""A worker that has not been heard for this long claims nothing."""


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def begun(installation: Installation, flow_id: str, count: int) -> list[str]:
    """Start executions; return when each runs."""
    ids = [await installation.start(flow_id) for _ in range(count)]
    await asyncio.gather(*(installation.said(each, "up") for each in ids))
    return ids


async def all_succeed(installation: Installation, ids: list[str]) -> None:
    """Each execution ended well, and each of its tasks ran once."""
    for execution in await asyncio.gather(*(installation.ended(each) for each in ids)):
        assert "SUCCESS" == execution["state"]["current"]
        assert [1, 1] == [len(run["attempts"]) for run in execution["taskRunList"]]


async def test_a_crash_of_postgresql_is_survived(installation: Installation) -> None:
    """It is started again; what ran goes on, and nothing else was restarted."""
    await installation.put(WORKING.replace("id: working", "id: crashing"))
    ids = await begun(installation, "crashing", 8)
    before = installation.server.processes()

    os.kill(before["postgres"], signal.SIGQUIT)
    await all_succeed(installation, ids)
    await until(lambda: installation.all_say(200), "everybody to be well")

    after = installation.server.processes()
    assert before.pop("postgres") != after.pop("postgres")
    assert before == after


async def test_a_postgresql_that_does_not_answer_is_waited_for(installation: Installation) -> None:
    """Everybody's health says so, the worker falls silent and takes nothing, and afterwards all goes on."""
    await installation.put(WORKING)
    ids = await begun(installation, "working", 8)
    before = installation.server.processes()
    stopped = [before["postgres"], *children_of(before["postgres"])]

    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        await until(lambda: installation.all_say(503), "everybody's health to say so")

        async def silent() -> bool:
            silence = await installation.metric("worker", "tiercel_worker_silent_seconds")
            return silence is not None and silence > MUTE_S

        await until(silent, "the worker to know that nobody hears it", within_s=MUTE_S + PATIENCE_S)
        _, worker = await installation.health("worker")
        assert any(check["status"] == "DOWN" and check["details"] for check in worker["details"].values())
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)

    await all_succeed(installation, ids)
    await until(lambda: installation.all_say(200), "everybody to be well")
    assert before == installation.server.processes()
    await all_succeed(installation, [await installation.start("working")])
