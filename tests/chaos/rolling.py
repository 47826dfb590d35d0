"""
A rolling restart under load: every service is replaced, one after the other, while executions are started at a steady
pace and a schedule fires. Nothing may be lost or doubled, and nobody who asked may go without an answer.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import cycle
from typing import Any, Final

import httpx
import msgspec

from tests.chaos.fleet import Fleet, Member
from tests.chaos.flows import FLOWS, SiegeFlow, clock
from tests.chaos.judge import LOOK_S, Judge, has_caught_up
from tests.chaos.verdict import Verdict
from tests.patience import at_last, until
from tiercel.cli.api import RemoteServer
from tiercel.cli.main import SERVICES
from tiercel.errors import Unavailable
from tiercel.model.state import State

GAP_S: Final = 0.25
"""Between two starts of executions."""
REST_S: Final = 1.0
"""Between two replacements."""
SETTLE_S: Final = 120.0
"""How long the installation may take to be itself again after a replacement."""


class Replacement(msgspec.Struct, frozen=True):
    """What became of a process that was asked to stop."""

    service: str
    exit_code: int
    stopped_s: float
    actions: tuple[str, ...]


class Rolling:
    """One rolling restart of one fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._started: dict[str, SiegeFlow] = {}
        self._over = asyncio.Event()
        self._on_the_way: Counter[str] = Counter()
        """Requests of which nothing was answered yet, by address."""
        self.verdict = Verdict()
        self.replacements: list[Replacement] = []
        self.unanswered: list[str] = []
        """Requests that were taken and not answered."""

    async def run(self) -> None:
        """Load, replace, wait, judge."""
        api = RemoteServer(self._fleet.url)
        for flow in FLOWS:
            await api.put_flow(flow.source)
        await api.put_flow(clock(disabled=False))
        await api.close()
        load = asyncio.create_task(self._load())
        for service in SERVICES:
            await asyncio.sleep(REST_S)  # the load goes on for a while as it is
            old = self._fleet.switch(await asyncio.to_thread(self._fleet.start, service))
            await self._routed(old)
            self.replacements.append(_told(old, await asyncio.to_thread(old.stop)))
        self._over.set()
        await load
        self.verdict.confirmed = len(self._started)
        api = RemoteServer(self._fleet.url)
        await self._stop_the_clock(api)
        ended = await self._settled(api)
        await Judge(api, self._started, ended, self.verdict).run()
        await api.close()

    async def _routed(self, old: Member) -> None:
        """Return when no request is on its way to the old process; those that it answers now go on."""

        async def look() -> bool:
            return not self._on_the_way[old.url]

        await until(look, f"{old.service} at {old.url} to begin to answer", within_s=SETTLE_S)

    async def _load(self) -> None:
        running: set[asyncio.Task[None]] = set()
        flows: Iterator[SiegeFlow] = cycle(FLOWS)
        while not self._over.is_set():
            task = asyncio.create_task(self._start(next(flows)))
            running.add(task)
            task.add_done_callback(running.discard)
            await asyncio.sleep(GAP_S)  # the steady pace
        await asyncio.gather(*running)

    async def _start(self, flow: SiegeFlow) -> None:
        """Start an execution on a connection of its own, and follow it on others."""
        url = self._fleet.url
        api = RemoteServer(url)
        self._on_the_way[url] += 1
        try:
            started = await api.start("siege", flow.id, {})
        except Unavailable as error:
            self.unanswered.append(f"{flow.id}: {error!r} {error.__cause__!r}")
            return
        finally:
            self._on_the_way[url] -= 1
            await api.close()
        self._started[started["id"]] = flow
        await self._follow(started["id"])

    async def _follow(self, execution_id: str) -> None:
        """Follow an execution until it ends; a stream that its server ends is opened again at another one."""
        deadline = time.monotonic() + SETTLE_S
        while time.monotonic() < deadline:
            try:
                if await self._ends(self._fleet.url, execution_id):
                    return
            except httpx.HTTPError as error:
                self.unanswered.append(f"following {execution_id}: {error!r}")
                return
        self.verdict.stuck.append(f"{self._started[execution_id].id} {execution_id} was followed in vain")

    async def _ends(self, url: str, execution_id: str) -> bool:
        """Follow an execution; tell whether its stream told the end, or was ended by its server before."""
        path = f"/api/v1/main/executions/{execution_id}/follow"
        self._on_the_way[url] += 1
        async with httpx.AsyncClient(base_url=url, timeout=SETTLE_S) as client:
            try:
                answer = await client.send(client.build_request("GET", path), stream=True)
            finally:
                self._on_the_way[url] -= 1
            try:
                assert 200 == answer.status_code, await answer.aread()
                async for line in answer.aiter_lines():
                    if line == "id: end":
                        return True
            finally:
                await answer.aclose()
        return False

    async def _stop_the_clock(self, api: RemoteServer) -> None:
        """Disable the schedule, when it has caught up with all dates of the restart."""
        over = datetime.now(UTC)
        await at_last(lambda: has_caught_up(api, over), bool, within_s=SETTLE_S, every_s=LOOK_S)
        await api.put_flow(clock(disabled=True))

    async def _settled(self, api: RemoteServer) -> dict[str, dict[str, Any]]:
        ended: dict[str, dict[str, Any]] = {}

        async def look() -> bool:
            for execution_id in self._started.keys() - ended.keys():
                execution = await api.execution(execution_id)
                if State(execution["state"]["current"]).is_terminated:
                    ended[execution_id] = execution
            return self._started.keys() == ended.keys()

        await at_last(look, bool, within_s=SETTLE_S, every_s=LOOK_S)
        self.verdict.stuck += [f"{self._started[each].id} {each}" for each in self._started.keys() - ended.keys()]
        return ended


def _told(old: Member, code: int) -> Replacement:
    actions = tuple(event["action"] for event in old.events() if str(event.get("action", "")).startswith("service_"))
    return Replacement(old.service, code, old.stopped_s, actions)
