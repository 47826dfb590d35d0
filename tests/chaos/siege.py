"""
A siege: executions are started at a steady pace while processes are killed one after the other and PostgreSQL is
restarted. When it is over, every execution that the API has confirmed must have ended well, each change exactly once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterable
from itertools import cycle, islice
from typing import Any, Final

import httpx
import msgspec

from tests.chaos.flows import CALL, FLOWS, SiegeFlow
from tests.chaos.history import mistakes
from tiercel.cli.api import Api
from tiercel.errors import Refused, Unavailable
from tiercel.model.state import State
from tiercel.testing.server import StandaloneServer

VICTIMS: Final = ("executor", "worker", "indexer", "scheduler", "webserver")
SETTLE_S: Final = 150.0
"""How long work may take to end after the last blow: a silent worker is lost after 30 s, a lease after 10 s."""
STILL_S: Final = 15.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How hard it is to be."""

    executions: int
    rounds: int
    """So often each process is killed."""
    restarts: int
    """So often PostgreSQL is; every other time without a checkpoint."""
    pause_s: float


class Verdict(msgspec.Struct, kw_only=True):
    """What came of it; all lists must be empty."""

    confirmed: int = 0
    kills: int = 0
    lost: list[str] = []
    stuck: list[str] = []
    wrong: list[str] = []
    unwritten: list[str] = []

    @property
    def holds(self) -> bool:
        return not (self.lost or self.stuck or self.wrong or self.unwritten)


class Siege:
    """One siege of one server."""

    def __init__(self, server: StandaloneServer, plan: Plan) -> None:
        self._server = server
        self._plan = plan
        self._api = Api(server.url)
        self._started: dict[str, SiegeFlow] = {}
        self._verdict = Verdict()
        self._over = False

    async def run(self) -> Verdict:
        """Load, strike, wait, judge."""
        for flow in FLOWS:
            await self._api.put_flow(flow.source)
        await asyncio.gather(self._load(), self._strike())
        self._verdict.confirmed = len(self._started)
        ended = await self._settled()
        self._judge(ended)
        await self._judge_repository(ended)
        await self._judge_children(ended)
        await self._api.close()
        return self._verdict

    async def _load(self) -> None:
        blows = len(VICTIMS) * self._plan.rounds + self._plan.restarts
        gap = blows * self._plan.pause_s / self._plan.executions
        running: set[asyncio.Task[None]] = set()
        for flow in islice(cycle(FLOWS), self._plan.executions):
            task = asyncio.create_task(self._start(flow))
            running.add(task)
            task.add_done_callback(running.discard)
            await asyncio.sleep(gap)
        await asyncio.gather(*running)

    async def _start(self, flow: SiegeFlow) -> None:
        """Start an execution; what the API does not confirm is tried again, and may then be there twice."""
        while True:
            try:
                started = await self._api.start("siege", flow.id, {})
            except (Unavailable, Refused, httpx.HTTPError):
                await asyncio.sleep(0.2)
            else:
                self._started[started["id"]] = flow
                return

    async def _strike(self) -> None:
        blows = [name for _ in range(self._plan.rounds) for name in VICTIMS]
        for number in range(self._plan.restarts):
            blows.insert((number + 1) * len(blows) // (self._plan.restarts + 1), f"postgres-{number}")
        for blow in blows:
            await asyncio.sleep(self._plan.pause_s)
            name, _, number = blow.partition("-")
            pid = self._server.processes().get(name)
            if pid is None:  # it is being started again this moment
                continue
            power_cut = number and int(number) % 2 == 0
            gently = signal.SIGQUIT if power_cut else signal.SIGINT
            os.kill(pid, gently if name == "postgres" else signal.SIGKILL)
            self._verdict.kills += 1

    async def _settled(self) -> dict[str, dict[str, Any]]:
        """Wait until everything has ended, or nothing has moved for long; return what could be read."""
        deadline = time.monotonic() + SETTLE_S
        ended: dict[str, dict[str, Any]] = {}
        while (open_ids := self._started.keys() - ended.keys()) and time.monotonic() < deadline:
            for execution in await self._read(open_ids):
                if State(execution["state"]["current"]).is_terminated:
                    ended[execution["id"]] = execution
            await asyncio.sleep(0.5)
        for execution in await self._read(self._started.keys() - ended.keys()):
            open_runs = [
                f"{run['taskId']} {run['state']['current']}"
                for run in execution.get("taskRunList") or []
                if not State(run["state"]["current"]).is_terminated
            ]
            self._verdict.stuck.append(f"{self._name(execution)} is {execution['state']['current']}: {open_runs}")
        return ended

    async def _read(self, ids: Iterable[str]) -> list[dict[str, Any]]:
        found = []
        for execution_id in sorted(ids):
            try:
                found.append(await self._api.execution(execution_id))
            except Refused as error:
                if "404" in str(error):
                    self._verdict.lost.append(f"{self._started[execution_id].id} {execution_id}: {error}")
            except Unavailable:
                break
        return found

    def _judge(self, ended: dict[str, dict[str, Any]]) -> None:
        for execution_id, execution in ended.items():
            for sentence in mistakes(execution, self._started[execution_id]):
                self._verdict.wrong.append(f"{self._name(execution)}: {sentence}")

    async def _judge_children(self, ended: dict[str, dict[str, Any]]) -> None:
        for execution in ended.values():
            if self._started[execution["id"]] is CALL:
                deadline = time.monotonic() + STILL_S
                while len(children := await self._api.children(execution["id"])) < CALL.children:
                    if time.monotonic() > deadline:
                        break
                    await asyncio.sleep(0.5)
                if len(children) != CALL.children:
                    self._verdict.wrong.append(f"{self._name(execution)} has {len(children)} children")

    async def _judge_repository(self, ended: dict[str, dict[str, Any]]) -> None:
        """What lists show must come to be what single reads show."""
        deadline = time.monotonic() + STILL_S
        while time.monotonic() < deadline:
            listed = await self._api.search("siege")
            states = {each["id"]: each["state"]["current"] for each in listed}
            unwritten = [each for each in ended if states.get(each) != ended[each]["state"]["current"]]
            if not unwritten:
                break
            await asyncio.sleep(0.5)
        self._verdict.unwritten = [f"{self._name(ended[each])} is listed as {states.get(each)}" for each in unwritten]

    def _name(self, execution: dict[str, Any]) -> str:
        return f"{execution['flowId']} {execution['id']}"


def report(verdict: Verdict) -> str:
    """Say what came of it, with the first few examples of each kind of mistake."""
    lines = [f"{verdict.confirmed} executions confirmed, {verdict.kills} processes struck"]
    for kind in ("lost", "stuck", "wrong", "unwritten"):
        sentences = getattr(verdict, kind)
        lines.append(f"{kind}: {len(sentences)} {dict(Counter(each.split()[0] for each in sentences)) or ''}".rstrip())
        lines += [f"  {sentence}" for sentence in sentences[:10]]
    return "\n".join(lines)
