"""Judges what a siege has left: every execution, what lists and logs show of it, and the dates of the schedule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any, Final

from tests.chaos.flows import CLOCK_PERIOD_S, SiegeFlow
from tests.chaos.history import mistakes
from tests.chaos.verdict import Verdict
from tests.patience import at_last
from tiercel.cli.api import RemoteServer
from tiercel.model.state import State

LOOK_S: Final = 0.5
"""Between two looks: each reads whole lists from a server that has work to do."""


class Judge:
    """Reads what is there when everything has ended, and writes what is wrong into the verdict."""

    def __init__(
        self, api: RemoteServer, started: Mapping[str, SiegeFlow], ended: Mapping[str, dict[str, Any]], verdict: Verdict
    ) -> None:
        self._api = api
        self._started = started
        self._ended = ended
        self._verdict = verdict

    async def run(self) -> None:
        """Judge everything."""
        for execution_id, execution in self._ended.items():
            for sentence in mistakes(execution, self._started[execution_id]):
                self._verdict.wrong.append(f"{_name(execution)}: {sentence}")
        self._verdict.unwritten += await _at_last(self._misread)
        self._verdict.stuck += await _at_last(self._still_open)
        for execution_id, flow in self._started.items():
            if execution_id in self._ended and (flow.lines or flow.children):
                execution = self._ended[execution_id]
                self._verdict.unwritten += await _at_last(partial(self._without_lines, execution, flow))
                self._verdict.wrong += await _at_last(partial(self._without_children, execution, flow))
        await self._judge_schedule()

    async def _misread(self) -> list[str]:
        """What lists show must come to be what single reads show."""
        states = {each["id"]: each["state"]["current"] for each in await self._api.search("siege")}
        return [
            f"{_name(execution)} is listed as {states.get(execution_id)}"
            for execution_id, execution in self._ended.items()
            if states.get(execution_id) != execution["state"]["current"]
        ]

    async def _still_open(self) -> list[str]:
        """What nobody waits for must end too: subflows, and executions whose confirmation was lost."""
        listed = [*await self._api.search("siege"), *await self._api.search("clockwork")]
        self._verdict.unconfirmed = sum(
            each["id"] not in self._started and each.get("trigger") is None for each in listed
        )
        return [
            f"{_name(each)} is listed as {each['state']['current']}"
            for each in listed
            if each["id"] not in self._started and not State(each["state"]["current"]).is_terminated
        ]

    async def _without_lines(self, execution: dict[str, Any], flow: SiegeFlow) -> list[str]:
        found = {line["message"] for line in await self._api.logs(execution["id"])} if flow.lines else set()
        return [f"{_name(execution)} has no line '{line}'" for line in flow.lines if line not in found]

    async def _without_children(self, execution: dict[str, Any], flow: SiegeFlow) -> list[str]:
        count = len(await self._api.children(execution["id"])) if flow.children else 0
        return [] if count == flow.children else [f"{_name(execution)} has {count} children"]

    async def _judge_schedule(self) -> None:
        """Between the first and the last date of the schedule each must have started one execution."""
        ticks = await self._api.search("clockwork")
        dates = Counter(datetime.fromisoformat(each["trigger"]["variables"]["date"]) for each in ticks)
        self._verdict.slots = len(dates)
        self._verdict.doubled += [f"clock {date} fired {count} times" for date, count in dates.items() if count > 1]
        for before, after in pairwise(sorted(dates)):
            if after - before != timedelta(seconds=CLOCK_PERIOD_S):
                self._verdict.lost.append(f"clock fired for {before} and next for {after}")
        if not dates:
            self._verdict.lost.append("clock never fired")
        for each in ticks:
            if each["state"]["current"] != State.SUCCESS:
                self._verdict.wrong.append(f"{_name(each)} ended {each['state']['current']}")


async def has_caught_up(api: RemoteServer, moment: datetime) -> bool:
    """Tell whether the schedule of the siege has started an execution for a date after a moment."""
    dates = [each["trigger"]["variables"]["date"] for each in await api.search("clockwork")]
    return any(datetime.fromisoformat(date) >= moment for date in dates)


async def _at_last(look: Callable[[], Awaitable[list[str]]]) -> list[str]:
    """Look until nothing is wrong, or patience ends; return what is still wrong."""
    return await at_last(look, lambda wrong: not wrong, every_s=LOOK_S)


def _name(execution: Mapping[str, Any]) -> str:
    return f"{execution['flowId']} {execution['id']}"
