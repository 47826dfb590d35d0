"""
Processes die in the middle of wide loops: a ForEach without and with a limit, a Loop, and a ForEachItem, side by side.
The tasks of one of them take a while, so that workers die with tasks in hand.

When everything has ended each value must have been run and counted once: by the task runs, by the executions of the
iterations and the batches, and by what the loops say themselves.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import httpx

from bench import flows
from tests.chaos.flows import SiegeFlow
from tests.chaos.history import mistakes
from tests.chaos.verdict import Verdict
from tests.patience import at_last, until
from tiercel.cli.api import BASE
from tiercel.model.state import State
from tiercel.testing.server import StandaloneServer

VICTIMS: Final = ("worker", "executor", "indexer")
BATCH_ROWS: Final = 10
LIMIT: Final = 16
PAGE: Final = 500
ROW_DIGITS: Final = 99
"""With its line's end a row of a large file is a hundred bytes long."""
LARGE_BATCH_ROWS: Final = 10_000
SETTLE_S: Final = 600.0
"""How long the loops may take in all, where they are no wider than this allows."""
SETTLE_PER_VALUE_S: Final = 0.02
LOOK_S: Final = 0.25
"""Between two looks: each reads whole lists from a server that has work to do."""
READERS: Final = 8
"""Lists that are read at a time."""

NAMESPACE: Final = "wide"
LOOP: Final = "iterations-{count}-0"
SLEEPS: Final = "sleeps"
SLOW: Final = "PT1S"
"""How long the tasks of one loop take: a worker dies with some in hand."""
SLOW_AT_ONCE: Final = 4
"""So few that the loop goes on for much longer than the repository is behind."""
SUM: Final = """\
  - id: sum
    type: io.kestra.plugin.core.debug.Return
    format: "{{ outputs.each.terminatedIterations }} {{ outputs.each.outputs | length }}"
"""
BATCHES: Final = """\
id: batches
namespace: wide
tasks:
  - id: make
    type: io.kestra.plugin.scripts.shell.Commands
    taskRunner:
      type: io.kestra.plugin.core.runner.Process
    outputFiles: [rows.txt]
    commands:
      - seq -f %0{digits}.0f 1 {count} > rows.txt
  - id: each
    type: io.kestra.plugin.core.flow.ForEachItem
    items: "{{{{ outputs.make.outputFiles['rows.txt'] }}}}"
    batch:
      rows: {rows}
    namespace: wide
    flowId: part
    inputs:
      rows: "{{{{ taskrun.items }}}}"
"""
ITERATION: Final = SiegeFlow(id="iteration", source="", runs={"item": 1})
PART: Final = SiegeFlow(id="part", source=flows.part(NAMESPACE), runs={"take": 1})


class Batches(NamedTuple):
    """The file of ForEachItem: how many rows it has, how many digits each of them, and how many are a batch."""

    rows: int
    digits: int
    batch_rows: int

    @property
    def source(self) -> str:
        return BATCHES.format(count=self.rows, digits=self.digits, rows=self.batch_rows)


def small_batches(rows: int) -> Batches:
    """Return many small batches."""
    return Batches(rows, 1, BATCH_ROWS)


def large_batches(rows: int) -> Batches:
    """Return batches of a megabyte."""
    return Batches(rows, ROW_DIGITS, LARGE_BATCH_ROWS)


def loops(count: int, batches: Batches) -> list[SiegeFlow]:
    """Return the flows, each of which goes over so many values or rows."""
    runs, slow = {"each": 1, "item": count}, count // 50
    parts = {"make": 1, "each": 1, "each_split": 1, "each_items": 1, "each_merge": 1}
    return [
        *(SiegeFlow(id=f"loop-{count}-{n}", source=flows.loop(count, n, NAMESPACE), runs=runs) for n in (0, LIMIT)),
        SiegeFlow(id=SLEEPS, source=flows.sleeps(slow, SLOW_AT_ONCE, SLOW, NAMESPACE), runs={"loop": 1, "wait": slow}),
        SiegeFlow(
            id=LOOP.format(count=count),
            source=flows.iterations(count, 0, NAMESPACE) + SUM,
            runs={"each": 1, "sum": 1},
        ),
        SiegeFlow(id="batches", source=batches.source, runs=parts),
    ]


class WideSiege:
    """One run of the loops on one server, whose processes are killed one after the other while a loop goes on."""

    def __init__(
        self,
        server: StandaloneServer,
        count: int,
        blows: Sequence[str],
        pause_s: float,
        batches: Batches | None = None,
    ) -> None:
        self._server = server
        self._count = count
        self._batches = batches or small_batches(count)
        self._blows = blows
        self._pause_s = pause_s
        self._verdict = Verdict()
        self._client = httpx.AsyncClient(base_url=server.url + BASE, timeout=60)
        self._over = asyncio.Event()
        self.struck: Counter[str] = Counter()
        """How often each process was killed."""
        self.again = 0
        """Task runs that were run again, because the worker that had them died."""

    async def run(self) -> Verdict:
        """Start all loops, strike until they have ended, judge."""
        wide = loops(self._count, self._batches)
        headers = {"content-type": "application/x-yaml"}
        for flow in (PART, *wide):
            (await self._client.post("/flows", content=flow.source, headers=headers)).raise_for_status()
        started = {(await self._start(flow.id))["id"]: flow for flow in wide}
        self._verdict.confirmed = len(started)
        sleeps = next(each for each, flow in started.items() if flow.id == SLEEPS)
        striking = asyncio.create_task(self._strike(sleeps))
        await self._ended(started)
        self._over.set()
        await striking
        for execution_id, flow in started.items():
            execution = await self._get(f"/executions/{execution_id}")
            self._note(flow.id, mistakes(execution, flow))
            self.again += sum(len(run.get("attempts") or ()) > 1 for run in execution["taskRunList"])
            if flow.id == LOOP.format(count=self._count):
                await self._judge_iterations(execution)
            elif flow.id == "batches":
                await self._judge_batches(execution_id)
        await self._client.aclose()
        return self._verdict

    async def _start(self, flow_id: str) -> dict[str, Any]:
        empty = {"content-type": "multipart/form-data; boundary=none"}
        answer = await self._client.post(f"/executions/wide/{flow_id}", content=b"--none--\r\n", headers=empty)
        answer.raise_for_status()
        execution: dict[str, Any] = answer.json()
        return execution

    async def _strike(self, sleeps: str) -> None:
        """Strike from when a worker has tasks in hand that take a while."""

        async def look() -> bool:
            runs = (await self._get(f"/executions/{sleeps}"))["taskRunList"]
            return any(run["taskId"] == "wait" and run["state"]["current"] == State.RUNNING for run in runs)

        await until(look, "a task that takes a while to be run")
        for name in self._blows:
            try:
                await asyncio.wait_for(self._over.wait(), self._pause_s)
            except TimeoutError:
                os.kill(await self._alive(name), signal.SIGKILL)
                self.struck[name] += 1
                self._verdict.kills += 1
            else:
                return

    async def _alive(self, name: str) -> int:
        """Return a process that works; one that was struck a moment ago is started again first."""

        async def look() -> int | None:
            return self._server.processes().get(name)

        return await until(look, f"the process '{name}' to be started again")

    async def _ended(self, started: dict[str, SiegeFlow]) -> None:
        """Wait until all have ended."""

        async def look() -> set[str]:
            listed = await self._all({"filters[namespace][EQUALS]": "wide", "filters[flowId][NOT_IN]": "part"})
            return started.keys() - {each["id"] for each in listed if State(each["state"]["current"]).is_terminated}

        within_s = max(SETTLE_S, SETTLE_PER_VALUE_S * self._count)
        left = await at_last(look, lambda open_ids: not open_ids, within_s=within_s, every_s=LOOK_S)
        self._verdict.stuck += [f"{started[each].id} has not ended within {within_s:g} s" for each in left]

    async def _judge_iterations(self, execution: dict[str, Any]) -> None:
        """Each iteration is one execution, and the loop has counted it and kept its output once."""
        said = next((run["outputs"]["value"] for run in execution["taskRunList"] if run["taskId"] == "sum"), None)
        if said != f"{self._count} {self._count}":
            self._verdict.wrong.append(f"loop counted '{said}'")
        query = {"filters[parentId][EQUALS]": execution["id"], "filters[kind][EQUALS]": "LOOP"}
        children = await self._written(query, self._count)
        indices = Counter(child["loopRun"]["index"] for child in children)
        self._compare("loop iteration", indices, range(self._count))
        await self._judge_each(children, ITERATION)

    async def _judge_batches(self, execution_id: str) -> None:
        """Each row is in the file of one execution."""
        query = {"filters[triggerExecutionId][EQUALS]": execution_id}
        rows, _, batch_rows = self._batches
        children = await self._written(query, -(-rows // batch_rows))
        await self._judge_each(children, PART)
        found: Counter[int] = Counter()
        for child in children:
            answer = await self._client.get(f"/executions/{child['id']}/file", params={"path": child["inputs"]["rows"]})
            answer.raise_for_status()
            found.update(map(int, answer.text.split()))
        self._compare("batches row", found, range(1, rows + 1))

    def _compare(self, what: str, found: Counter[int], wanted: Iterable[int]) -> None:
        """Note what is missing and what is there twice."""
        self._verdict.lost += [f"{what} {number} is missing" for number in wanted if number not in found]
        self._verdict.doubled += [f"{what} {number} is there {n} times" for number, n in found.items() if n > 1]

    async def _judge_each(self, children: list[dict[str, Any]], flow: SiegeFlow) -> None:
        queue: Iterator[dict[str, Any]] = iter(children)

        async def read() -> None:
            for child in queue:
                self._note(flow.id, mistakes(await self._get(f"/executions/{child['id']}"), flow))

        await asyncio.gather(*(read() for _ in range(READERS)))

    async def _written(self, query: dict[str, str], count: int) -> list[dict[str, Any]]:
        """Return what the repository lists, when it lists so many that have ended."""

        async def look() -> list[dict[str, Any]]:
            return await self._all(query)

        def done(found: list[dict[str, Any]]) -> bool:
            return len(found) >= count and all(State(each["state"]["current"]).is_terminated for each in found)

        return await at_last(look, done, every_s=LOOK_S)

    def _note(self, name: str, sentences: Iterable[str]) -> None:
        self._verdict.wrong += [f"{name}: {sentence}" for sentence in sentences]

    async def _all(self, query: dict[str, str]) -> list[dict[str, Any]]:
        """Return all executions that a search finds, page by page."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            answer = await self._get("/executions/search", **query, size=str(PAGE), **cursor)
            found += answer["results"]
            if "nextCursor" not in answer:
                return found
            cursor = {"cursor": answer["nextCursor"]}

    async def _get(self, path: str, **query: str) -> dict[str, Any]:
        answer = await self._client.get(path, params=query)
        answer.raise_for_status()
        content: dict[str, Any] = answer.json()
        return content
