"""A worker that answers evaluations of triggers as the corpora's `test_plugins.yaml` says that their types behave."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from tests.integration.scheduling import World
from tiercel.messages.broadcast import TriggerStopped
from tiercel.messages.topics import BROADCAST
from tiercel.messages.trigger_event import TriggerEvaluated
from tiercel.messages.worker_job import TriggerJob
from tiercel.model.duration import parse_duration
from tiercel.queue.base import LANE_DEFAULT

NAMES: Final = {
    "test:RealtimeTrigger": "io.kestra.core.schedulers.SchedulerStreamingTest$RealtimeUnitTest",
    "test:AlternatingPollingTrigger": "io.kestra.core.schedulers.AbstractSchedulerTest$UnitTest",
    "test:SleepPollingTrigger": "io.kestra.core.schedulers.SchedulerTriggerChangeTest$SleepTriggerTest",
}
FAILS_AT: Final = 10


class ScriptedWorker:
    """Takes trigger jobs, and answers when the time of an evaluation is over."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._running: dict[str, tuple[datetime, list[TriggerEvaluated]]] = {}
        self._news: Any = world.backend.subscribe(BROADCAST)
        self._odd = 0
        self.evaluations = 0
        self.stopped: set[str] = set()
        self.logs: list[str] = []

    @property
    def idle(self) -> bool:
        """True when no answer is due at this time."""
        return all(due > self._world.clock.now() for due, _ in self._running.values())

    def named(self, data: Any) -> Any:
        """Return data with the short names of the corpus' own types replaced."""
        if isinstance(data, list):
            return [self.named(item) for item in data]
        if isinstance(data, dict):
            return {key: NAMES.get(value, value) if key == "type" else self.named(value) for key, value in data.items()}
        return data

    async def work(self) -> None:
        """Hear what is stopped, take what waits, answer what is due."""
        while not self._news.line.empty():
            message = await anext(self._news)
            if isinstance(message, TriggerStopped):
                self.stopped.add(message.trigger_uid.rpartition("/")[2])
                if self._running.pop(message.trigger_uid, None) is not None:
                    self.logs.append("sleep interrupted")
        for job in await self._world.backend.claim("w", [LANE_DEFAULT], 10):
            assert isinstance(job, TriggerJob)
            self.evaluations += 1
            self._running[job.trigger_uid] = self._evaluation(job)
        for uid, (due, answers) in list(self._running.items()):
            if due <= self._world.clock.now():
                del self._running[uid]
                for answer in answers:
                    await self._world.send(answer)

    def _evaluation(self, job: TriggerJob) -> tuple[datetime, list[TriggerEvaluated]]:
        """Return when an evaluation answers, and what."""
        now = self._world.clock.now()
        given = msgspec.msgpack.decode(bytes(job.definition))
        match given["type"].rpartition(".")[2]:
            case "PollingTrigger":
                return now + timedelta(milliseconds=given.get("duration", 1000)), [_answer(job, now, {})]
            case "AbstractSchedulerTest$UnitTest":
                self._odd += 1
                if self._odd % 2 == 0:
                    return now + timedelta(seconds=4), [_answer(job, now, None)]
                variables = {"counter": self._odd, "defaultInjected": given.get("defaultInjected") or "ko"}
                return now, [_answer(job, now, variables)]
            case "SchedulerTriggerChangeTest$SleepTriggerTest":
                return now + parse_duration(given["sleep"]), [_answer(job, now, {"sleep": given["sleep"]})]
            case _:
                return now, self._stream(job, given, now)

    def _stream(self, job: TriggerJob, given: dict[str, Any], now: datetime) -> list[TriggerEvaluated]:
        answers = []
        for number in range(1, int(given.get("executionsToCreate", 1)) + 1):
            if given.get("failed") and number == FAILS_AT:
                return [*answers, TriggerEvaluated(trigger_uid=job.trigger_uid, at=now, error="It failed.")]
            answers.append(_answer(job, now, {"startedEvaluate": self.evaluations, "executionCount": number}))
        return answers


def _answer(job: TriggerJob, at: datetime, variables: dict[str, Any] | None) -> TriggerEvaluated:
    return TriggerEvaluated(trigger_uid=job.trigger_uid, at=at, variables=variables)
