"""When what is over leaves the state store."""

from __future__ import annotations

from datetime import timedelta

from tests.contract.samples import NOW, head
from tiercel.executor.forgetting import INTERVAL_S, PAGE, PAUSE_S, Forgetting
from tiercel.messages.topics import PARTITIONS_DEFAULT
from tiercel.model.live import HeadRecord
from tiercel.model.state import State
from tiercel.queue.memory import MemoryBackend
from tiercel.repository.base import ExecutionChange, HistoryBatch
from tiercel.repository.memory import MemoryRepository
from tiercel.statestore.base import Changes
from tiercel.testing.fake_clock import FakeClock

ALL = range(PARTITIONS_DEFAULT)
KEPT_S = 3600.0


class World:
    """A state store and a repository with executions that have ended."""

    def __init__(self) -> None:
        self.clock = FakeClock(NOW)
        self.store = MemoryBackend(self.clock)
        self.repository = MemoryRepository()
        self.forgetting = Forgetting(self.store, self.repository, self.clock, KEPT_S)
        self.names: list[str] = []

    async def end(self, count: int, *, written: bool = True) -> None:
        """Let so many executions end now; the indexer has `written` them or not."""
        heads = [self._ended(f"{len(self.names) + number:06}") for number in range(count)]
        async with self.store.transaction([]) as unit:
            for each in heads:
                unit.save(Changes(partition=0, head=each, was_version=None))
        if written:
            changes = {each.execution.id: ExecutionChange(execution=each.execution) for each in heads}
            await self.repository.write(HistoryBatch(executions=changes))
        self.names += [each.execution.id for each in heads]

    def _ended(self, name: str) -> HeadRecord:
        return head(name, 1, State.SUCCESS, self.clock.now())

    async def left(self) -> int:
        return len(await self.store.versions(self.names))


async def test_whole_pages_follow_each_other() -> None:
    """A wide loop leaves a hundred thousand executions: they do not wait a minute for each thousand."""
    world = World()
    await world.end(2 * PAGE + 1)
    world.clock.advance(KEPT_S + 1)

    pauses = [await world.forgetting.page(ALL) for _ in range(4)]

    assert [PAUSE_S, PAUSE_S, INTERVAL_S, INTERVAL_S] == pauses
    assert 0 == await world.left()


async def test_what_history_does_not_have_stays() -> None:
    """The repository is where it will be read; the next look comes with the next round, not at once."""
    world = World()
    await world.end(PAGE, written=False)
    world.clock.advance(KEPT_S + 1)

    pause = await world.forgetting.page(ALL)

    assert INTERVAL_S == pause
    assert PAGE == await world.left()


async def test_what_has_ended_lately_stays() -> None:
    """For an hour events that come late find the execution that they are for."""
    world = World()
    await world.end(1)
    world.clock.advance(KEPT_S - timedelta(minutes=1).total_seconds())

    await world.forgetting.page(ALL)

    assert 1 == await world.left()
