"""
A siege: executions are started at a steady pace while processes are killed one after the other and PostgreSQL, Kafka
and MinIO are restarted. When it is over, every execution that the API has confirmed must have ended well, each change
exactly once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import cycle, islice
from typing import Any, Final

import httpx
import msgspec

from backing.process import BackingProcess
from tests.chaos.flows import FLOWS, SiegeFlow, clock
from tests.chaos.judge import LOOK_S, Judge, has_caught_up
from tests.chaos.verdict import Verdict
from tests.patience import at_last, until
from tiercel.cli.api import RemoteServer
from tiercel.errors import Refused, Unavailable
from tiercel.model.state import State
from tiercel.testing.server import StandaloneServer

log = logging.getLogger(__name__)

VICTIMS: Final = ("executor", "worker", "indexer", "scheduler", "webserver")
AWAY_S: Final = 3.0
"""How long a backing service is away, beside its stop and start: long enough that somebody needs it meanwhile."""
SETTLE_S: Final = 150.0
"""How long work may take to end after the last blow: a silent worker is lost after 30 s, a lease after 10 s."""
AGAIN_S: Final = 0.2
"""Until a request that was not confirmed is sent again."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How hard it is to be."""

    executions: int
    rounds: int
    """How often each process is killed."""
    restarts: int
    """How often PostgreSQL is restarted, and each other backing service; every other time without a warning."""
    pause_s: float

    def blows(self, backing: Iterable[str]) -> list[str]:
        """Return who is struck, in order: processes in turn, and restarts, `name-number`, evenly between them."""
        kills = [name for _ in range(self.rounds) for name in VICTIMS]
        restarts = [f"{name}-{number}" for number in range(self.restarts) for name in ("postgres", *backing)]
        struck = kills.copy()
        for position, restart in reversed([*enumerate(restarts, start=1)]):
            struck.insert(position * len(kills) // (len(restarts) + 1), restart)
        return struck


class Siege:
    """One siege of one server."""

    def __init__(
        self, server: StandaloneServer, plan: Plan, backing: Mapping[str, BackingProcess] | None = None
    ) -> None:
        """`backing` are the services, beside its PostgreSQL, that the server works with: they are restarted too."""
        self._server = server
        self._backing = dict(backing or {})
        self._plan = plan
        self._blows = plan.blows(self._backing)
        self._api = RemoteServer(server.url)
        self._started: dict[str, SiegeFlow] = {}
        self._verdict = Verdict()

    async def run(self) -> Verdict:
        """Load, strike, wait, judge."""
        for flow in FLOWS:
            await self._api.put_flow(flow.source)
        await self._api.put_flow(clock(disabled=False))
        await asyncio.gather(self._load(), self._strike())
        self._verdict.confirmed = len(self._started)
        await self._stop_the_clock()
        ended = await self._settled()
        await Judge(self._api, self._started, ended, self._verdict).run()
        await self._api.close()
        return self._verdict

    async def _load(self) -> None:
        gap = len(self._blows) * self._plan.pause_s / self._plan.executions
        running: set[asyncio.Task[None]] = set()
        for flow in islice(cycle(FLOWS), self._plan.executions):
            task = asyncio.create_task(self._start(flow))
            running.add(task)
            task.add_done_callback(running.discard)
            await asyncio.sleep(gap)  # the steady pace
        await asyncio.gather(*running)

    async def _start(self, flow: SiegeFlow) -> None:
        """Start an execution; what the API does not confirm is tried again, and may then be there twice."""
        while True:
            try:
                started = await self._api.start("siege", flow.id, {})
            except (Unavailable, Refused, httpx.HTTPError):
                await asyncio.sleep(AGAIN_S)  # a server that is being started again does not say when it is there
            else:
                self._started[started["id"]] = flow
                return

    async def _strike(self) -> None:
        for blow in self._blows:
            await asyncio.sleep(self._plan.pause_s)  # the next blow hits what has got up
            name, _, number = blow.partition("-")
            power_cut = number != "" and int(number) % 2 == 0
            if (service := self._backing.get(name)) is not None:
                await asyncio.to_thread(service.kill if power_cut else service.stop)
                await asyncio.sleep(AWAY_S)  # the outage itself
                await asyncio.to_thread(service.start)
            else:
                pid = await self._alive(name)
                gently = signal.SIGQUIT if power_cut else signal.SIGINT
                os.kill(pid, gently if name == "postgres" else signal.SIGKILL)
            self._verdict.kills += 1

    async def _alive(self, name: str) -> int:
        """Return a process that works; one that was struck a moment ago is started again first."""

        async def look() -> int | None:
            return self._server.processes().get(name)

        return await until(look, f"the process '{name}' to be started again", within_s=SETTLE_S)

    async def _stop_the_clock(self) -> None:
        """Disable the schedule, when it has caught up with all dates of the siege."""
        over = datetime.now(UTC)

        async def look() -> bool:
            try:
                return await has_caught_up(self._api, over)
            except (Unavailable, Refused) as error:
                log.info("the server cannot be asked for dates: %s", error, extra={"action": "siege_answer_awaited"})
                return False

        if not await at_last(look, bool, within_s=SETTLE_S, every_s=LOOK_S):
            self._verdict.stuck.append(f"clock has not caught up with {over} within {SETTLE_S:g} s")
        await self._api.put_flow(clock(disabled=True))

    async def _settled(self) -> dict[str, dict[str, Any]]:
        """Wait until everything has ended, or nothing has moved for long; return what could be read."""
        ended: dict[str, dict[str, Any]] = {}

        async def look() -> bool:
            for execution in await self._read(self._started.keys() - ended.keys()):
                if State(execution["state"]["current"]).is_terminated:
                    ended[execution["id"]] = execution
            return self._started.keys() == ended.keys()

        await at_last(look, bool, within_s=SETTLE_S, every_s=LOOK_S)
        for execution in await self._read(self._started.keys() - ended.keys()):
            open_runs = [
                f"{run['taskId']} {run['state']['current']}"
                for run in execution.get("taskRunList") or []
                if not State(run["state"]["current"]).is_terminated
            ]
            self._verdict.stuck.append(
                f"{execution['flowId']} {execution['id']} is {execution['state']['current']}: {open_runs}"
            )
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
