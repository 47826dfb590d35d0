"""
Executions whose next event waits for a fact: a secret, a key-value pair, a file.

A batch waits a moment for such facts. What takes longer waits alone: the event is parked, which means saved beside the
live state in the transaction that acknowledges its message, and everything that comes later for the execution is
parked behind it, so that order is kept. When the fact is there the parked events are decided before new ones. Another
executor that takes the partition over finds the events in the state store and asks for the facts anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

from tiercel.errors import ExpressionError, Unavailable
from tiercel.executor.core.facts import Failure, Want
from tiercel.queue.base import Delivery
from tiercel.runtime import retry
from tiercel.statestore.base import StateStore

log = logging.getLogger(__name__)

FAR: Final = frozenset(
    {"secret", "kv", "file", "file_size", "file_exists", "file_uri", "row_count", "rows", "stored", "large"}
)
"""Kinds of facts that come from elsewhere than the state store and the definitions."""
BATCH_WAIT_S: Final = 0.2
"""How long a batch waits for far facts in all: about as long as it takes to decide a large one."""
FACT_TIMEOUT_S: Final = 600.0
"""The longest that one answer may take: files of gigabytes are read in less, and nothing waits for ever."""
FETCHES_MAX: Final = 256
"""Far facts that are asked for at the same time; others wait for their turn."""
EVENTS_MAX: Final = 500
"""Parked events of one execution that are decided in one batch."""

Ask = Callable[[Want, str, str], Awaitable[Any]]
"""Answers a far want of an execution of a tenant; raises Unavailable while the backend is away."""


class Wait:
    """An execution waits: for a task that fetches facts, or for its turn when there is none."""

    __slots__ = ("known", "partition", "task")

    def __init__(
        self, partition: int, known: dict[Want, Any] | None = None, task: asyncio.Task[None] | None = None
    ) -> None:
        self.partition = partition
        self.known: dict[Want, Any] = known if known is not None else {}
        """The facts of the first parked event so far."""
        self.task = task

    @property
    def is_over(self) -> bool:
        return self.task is None or self.task.done()

    def end(self) -> None:
        """Wait no longer; the event is decided without the facts, and asks for them again if it still needs them."""
        if self.task is not None:
            self.task.cancel()


class MustWait(Exception):
    """The event needs facts that take longer than its batch."""

    def __init__(self, wait: Wait) -> None:
        super().__init__("An event waits for facts.")
        self.wait = wait


class Parking:
    """Which executions of this process's partitions wait, and for what."""

    def __init__(self, store: StateStore, ask: Ask, wake: Callable[[], None]) -> None:
        self._store = store
        self._ask = ask
        self._wake = wake
        self._waits: dict[str, Wait] = {}
        self._doubtful: set[int] = set()
        self._turns = asyncio.Semaphore(FETCHES_MAX)
        self._patience_s = 0.0

    def __contains__(self, execution_id: str) -> bool:
        return execution_id in self._waits

    def __len__(self) -> int:
        return len(self._waits)

    async def take(self, partitions: Iterable[int]) -> None:
        """Learn from the store which executions of these partitions wait; called before they are worked on."""
        taken = set(partitions)
        if not taken:
            return
        stored = dict(await self._store.parked(sorted(taken)))
        for execution_id in [one for one, wait in self._waits.items() if wait.partition in taken and one not in stored]:
            self._waits.pop(execution_id).end()
        for execution_id, partition in stored.items():
            self._waits.setdefault(execution_id, Wait(partition))

    def keep(self, partitions: Iterable[int]) -> None:
        """Forget what waits in partitions that are no longer ours."""
        own = set(partitions)
        for execution_id in [one for one, wait in self._waits.items() if wait.partition not in own]:
            self._waits.pop(execution_id).end()

    def doubt(self, partitions: Iterable[int]) -> None:
        """Ask the store again before the next batch: nobody knows whether the last one was saved."""
        self._doubtful.update(partitions)

    def returning(self) -> set[int]:
        """Return the partitions in which the wait of an execution is over, or may be."""
        return self._doubtful | {wait.partition for wait in self._waits.values() if wait.is_over}

    async def begin(self, partitions: Iterable[int]) -> tuple[dict[str, Wait], list[Delivery[Any]]]:
        """Begin a batch: return the executions of these partitions that wait no longer, and their parked events."""
        self._patience_s = BATCH_WAIT_S
        if self._doubtful:
            doubtful, self._doubtful = self._doubtful, set()
            try:
                await self.take(doubtful)
            except Unavailable:
                self._doubtful |= doubtful
                raise
        touched = set(partitions)
        over = {one: wait for one, wait in self._waits.items() if wait.partition in touched and wait.is_over}
        return over, await self._store.parked_events(list(over), EVENTS_MAX) if over else []

    def saved(self, returned: Iterable[str], waits: dict[str, Wait]) -> None:
        """Follow the store: what was decided waits no longer, and what was parked does."""
        for execution_id in returned:
            self._waits.pop(execution_id, None)
        self._waits.update(waits)

    def end(self, execution_id: str) -> None:
        """Let an execution wait no longer."""
        wait = self._waits.get(execution_id)
        if wait is not None:
            wait.end()

    async def fetch(
        self, wants: Sequence[Want], execution_id: str, tenant_id: str, partition: int, known: dict[Want, Any]
    ) -> None:
        """Add far facts to what is known; raise MustWait when they take longer than the batch may."""
        task = asyncio.create_task(self._fetch(wants, execution_id, tenant_id, known), name="executor.fact")
        began = asyncio.get_running_loop().time()
        try:
            await asyncio.wait({task}, timeout=self._patience_s)  # the others of the batch wait with it
        except BaseException:  # cancelled too, nobody else ends the fetching
            task.cancel()
            raise
        self._patience_s = max(0.0, self._patience_s - (asyncio.get_running_loop().time() - began))
        if task.done():
            task.result()
            return
        task.add_done_callback(lambda _: self._wake())
        log.debug("execution waits", extra={"action": "execution_parked", "execution_id": execution_id})
        raise MustWait(Wait(partition, known, task))

    async def _fetch(self, wants: Sequence[Want], execution_id: str, tenant_id: str, known: dict[Want, Any]) -> None:
        for want in wants:
            known[want] = await self._answer(want, execution_id, tenant_id)

    async def _answer(self, want: Want, execution_id: str, tenant_id: str) -> Any:
        """Return a fact, or the Failure that the decision meets in its place; wait for a source that is away."""
        try:
            async with self._turns:
                return await retry.waiting("a source of facts", partial(self._ask_once, want, execution_id, tenant_id))
        except TimeoutError:
            name = want.key[-1] if want.key else want.sort
            sentence = f"Nobody has answered for {want.sort} '{name}' within {FACT_TIMEOUT_S:g} s."
            return Failure(ExpressionError(sentence))
        except Exception as error:  # a bug in one source is told to the execution that asked
            log.exception("a fact cannot be had", extra={"action": "fact_failed", "sort": want.sort})
            return Failure(error)

    async def _ask_once(self, want: Want, execution_id: str, tenant_id: str) -> Any:
        async with asyncio.timeout(FACT_TIMEOUT_S):  # a source that hangs must not keep one of the turns
            return await self._ask(want, execution_id, tenant_id)

    def close(self) -> None:
        """Ask for nothing any more."""
        for wait in self._waits.values():
            wait.end()
