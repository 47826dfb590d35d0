"""Realtime triggers on real services in memory: what a stream tells becomes executions, until it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest
from prometheus_client import REGISTRY

from tiercel.errors import TaskFailed
from tiercel.executor.service import ExecutorService
from tiercel.indexer.service import IndexerService
from tiercel.messages.broadcast import FlowUpdated
from tiercel.messages.topics import BROADCAST
from tiercel.model.execution import LogEntry
from tiercel.plugins.base import DYNAMIC, RealtimeTrigger, RunContext
from tiercel.plugins.registry import register
from tiercel.queue.base import Outgoing
from tiercel.repository.base import Page
from tiercel.repository.filter import Field, Filter
from tiercel.scheduler.service import SchedulerService
from tiercel.testing.cluster import MemoryCluster
from tiercel.testing.virtual_time import run_virtual
from tiercel.worker.service import WorkerService

FLOW = """
id: listening
namespace: company.team
triggers:
  - id: stream
    type: tiercel.tests.Stream
    words: {words}
tasks:
  - id: say
    type: io.kestra.plugin.core.debug.Return
    format: "{{{{ trigger.word }}}}"
"""
COUNTED = (
    "started_count_total", "execution_count_total", "error_count_total", "ended_count_total", "duration_seconds_count",
)  # fmt: skip
ended: list[str] = []


@register("tiercel.tests.Stream")
class Stream(RealtimeTrigger, frozen=True, kw_only=True):
    """Tells its words, one a second, and then listens for ever; 'fail' fails."""

    words: Annotated[str, DYNAMIC]

    async def events(self, context: RunContext) -> AsyncIterator[Mapping[str, Any]]:
        """Tell the words."""
        try:
            for word in (await context.render(self.words)).split():
                if word == "fail":
                    raise TaskFailed("There is nothing to listen to.")
                context.log("INFO", f"heard {word}")
                await asyncio.sleep(1)  # virtual time: it passes at once
                yield {"word": word}
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append("ended")


class Stage:
    """Services in memory, and what can be seen of them."""

    def __init__(self, folder: Path) -> None:
        self.cluster = MemoryCluster(
            folder,
            lambda adapters: [
                ExecutorService(adapters), WorkerService(adapters), SchedulerService(adapters), IndexerService(adapters)
            ],
        )  # fmt: skip

    async def deploy(self, words: str) -> None:
        """Store a flow that listens, and tell of it."""
        flow = await self.cluster.deploy(FLOW.format(words=words))
        await self._tell(flow.revision or 1, deleted=False)

    async def delete(self) -> None:
        """Delete the flow."""
        await self.cluster.definitions.delete("main", "company.team", "listening")
        await self._tell(2, deleted=True)

    async def _tell(self, revision: int, *, deleted: bool) -> None:
        news = FlowUpdated(
            tenant_id="main", namespace="company.team", flow_id="listening", revision=revision, deleted=deleted
        )
        await self.cluster.backend.emit(Outgoing(topic=BROADCAST, key="", message=news))

    async def words(self) -> list[str]:
        """Return what executions were started with, in order."""
        found = await self.cluster.repository.search("main", [], Page(size=100))
        made = sorted(found.results, key=lambda one: one.history[0].date)
        return [one.trigger.variables["word"] for one in made if one.trigger is not None]

    async def logs(self) -> list[LogEntry]:
        """Return the lines of the trigger's own log."""
        wanted = [Filter(field=Field.TRIGGER_ID, value="stream")]
        return (await self.cluster.repository.logs("main", wanted, Page(size=100))).results

    async def until(self, condition: Callable[[], Any], seconds: float = 300) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(seconds):
            while not await condition():
                await self.cluster.clock.sleep(0.1)  # virtual time: it passes at once


@pytest.fixture
def stage(tmp_path: Path) -> Callable[[], Stage]:
    ended.clear()
    return lambda: Stage(tmp_path)


def test_what_a_stream_tells_becomes_executions_in_order(stage: Callable[[], Stage]) -> None:
    """The trigger runs on; its own lines are found by its name; the worker that runs it is known."""

    async def main() -> tuple[list[str], list[LogEntry], str | None]:
        here = stage()
        async with here.cluster:
            await here.deploy('"{{ flow.id }} two three"')
            await here.until(lambda: _count(here, 3))
            [state] = await here.cluster.backend.triggers()
            return await here.words(), await here.logs(), state.worker_id

    words, logs, worker = run_virtual(main())

    assert ["listening", "two", "three"] == words
    assert ["heard listening", "heard two", "heard three"] == [line.message for line in logs]
    assert {None} == {line.execution_id for line in logs}
    assert worker is not None


def test_a_worker_counts_what_its_streams_do(stage: Callable[[], Stage]) -> None:
    """A start, an execution for each event, an end with its duration, and the failure that ended it."""

    async def main() -> None:
        here = stage()
        async with here.cluster:
            await here.deploy("one two fail")
            await here.until(lambda: _counted("error_count_total", before["error_count_total"] + 1))

    before = {name: _value(name) for name in COUNTED}
    run_virtual(main())

    assert {
        "started_count_total": 1.0,
        "execution_count_total": 2.0,
        "error_count_total": 1.0,
        "ended_count_total": 1.0,
        "duration_seconds_count": 1.0,
    } == {name: _value(name) - before[name] for name in COUNTED}


def test_a_stream_ends_when_its_flow_is_deleted(stage: Callable[[], Stage]) -> None:
    """The worker cancels it; nothing starts it again."""

    async def main() -> list[str]:
        here = stage()
        async with here.cluster:
            await here.deploy("one")
            await here.until(lambda: _count(here, 1))
            assert not ended
            await here.delete()
            await here.until(_has_ended)
            await asyncio.sleep(600)  # virtual time: much longer than a word takes
            return await here.words()

    assert ["one"] == run_virtual(main())
    assert ["ended"] == ended


def test_a_stream_that_fails_is_tried_again_and_says_why(stage: Callable[[], Stage]) -> None:
    """Every minute; the reason is shown on the trigger and in its log."""

    async def main() -> tuple[str | None, list[LogEntry]]:
        here = stage()
        async with here.cluster:
            await here.deploy("fail")
            await asyncio.sleep(150)  # virtual time: two intervals and a half
            [state] = await here.cluster.backend.triggers()
            return state.error, await here.logs()

    error, logs = run_virtual(main())

    assert "There is nothing to listen to." == error
    assert ["There is nothing to listen to."] * 3 == [line.message for line in logs]
    assert 3 == len(ended)


async def _count(stage: Stage, least: int) -> bool:
    return len(await stage.words()) >= least


async def _has_ended() -> bool:
    return bool(ended)


def _value(name: str) -> float:
    labels = {"tenant_id": "main", "namespace_id": "company.team", "flow_id": "listening"}
    labels["trigger_type"] = "tiercel.tests.Stream"
    return REGISTRY.get_sample_value(f"tiercel_worker_trigger_{name}", labels) or 0.0


async def _counted(name: str, wanted: float) -> bool:
    return _value(name) >= wanted
