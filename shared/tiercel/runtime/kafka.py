"""
The wiring's part for Kafka: links for processes with and without a database, and the topics.

It is imported only where the settings say Kafka: the client library is an extra.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

from tiercel.errors import Unavailable
from tiercel.messages.topics import TOPICS, WORKER_EVENT, Route
from tiercel.queue.kafka.client import Troubles, servers_of
from tiercel.queue.kafka.consumer import Place
from tiercel.queue.kafka.dispatcher import Dispatcher
from tiercel.queue.kafka.handout import Handout
from tiercel.queue.kafka.layout import Layout, TopicKeeper
from tiercel.queue.kafka.link import Bell, KafkaLink
from tiercel.queue.kafka.offsets import Offsets
from tiercel.queue.kafka.outbox import SQL
from tiercel.queue.kafka.queue import HUB_SINCE_S, Desk, KafkaQueue
from tiercel.queue.postgres.node import PostgresNode
from tiercel.queue.wakeup import Wakeups
from tiercel.runtime import retry
from tiercel.runtime.adapters import Adapters
from tiercel.runtime.postgres.array import int2s, int8s
from tiercel.runtime.postgres.pool import PLAIN_SESSION, PostgresPool
from tiercel.runtime.settings import Settings

START_TIMEOUT_S: Final = 60.0
"""How long a starting process waits for its brokers."""
LEADER_PAUSE_S: Final = 0.1
"""Between two questions who leads a partition."""


async def queue_without_database(
    service: str, settings: Settings, stack: AsyncExitStack
) -> tuple[KafkaQueue, KafkaLink]:
    """Return the queue of a process that reaches nothing but the brokers."""
    wakeups = Wakeups(asyncio.sleep)
    link = await _link(service, settings, wakeups.announce)
    queue = KafkaQueue(link, wakeups, None)
    stack.push_async_callback(queue.close)
    return queue, link


async def queue_with_database(
    service: str, settings: Settings, node: PostgresNode, stack: AsyncExitStack
) -> tuple[KafkaQueue, KafkaLink, Desk]:
    """Return the queue of a process that owns partitions, or looks at them."""
    try:
        link = await _link(service, settings, node.arrived)
    except BaseException:  # cancelled too: nobody else knows the node
        await node.close()
        raise
    desk = Desk(node, link, service)
    queue = KafkaQueue(link, None, desk)
    stack.push_async_callback(queue.close)
    return queue, link, desk


def dispatch(
    adapters: Adapters, queue: KafkaQueue, link: KafkaLink, node: PostgresNode, stack: AsyncExitStack
) -> Dispatcher:
    """Hand out jobs in this process, while it is the one that does."""
    assert adapters.leases is not None, "A dispatcher needs leases."
    heard = queue.hub(WORKER_EVENT, HUB_SINCE_S).subscribe(whole=True)
    handout = Handout(asyncio.get_running_loop().time)
    queue.hand_out(handout)
    dispatcher = Dispatcher(node, link, adapters.leases, heard, handout, adapters.clock)
    stack.push_async_callback(dispatcher.close)
    dispatcher.start()
    return dispatcher


async def make_topics(settings: Settings, postgres_url: str) -> list[str]:
    """Make the topics that are missing, check all, and fix where reading of each begins; return what was made."""
    layout = Layout(settings.kafka, settings.queue.partitions)

    def make() -> list[str]:
        keeper = TopicKeeper(settings.kafka, layout)
        made = keeper.make()
        keeper.check()
        return made

    made: list[str] = []
    async for attempt in retry.start("Kafka", START_TIMEOUT_S):
        with attempt:
            made = await asyncio.to_thread(make)
    await _begin(settings, layout, made, postgres_url)
    return made


async def _begin(settings: Settings, layout: Layout, made: list[str], postgres_url: str) -> None:
    """Read a new topic from its start; one that is older than the database from its end, for its past is not ours."""
    pool = PostgresPool(postgres_url, size=1, session=PLAIN_SESSION, name="tiercel migrate")
    offsets = Offsets(settings.kafka, "migrate", Troubles(servers_of(settings.kafka)))
    try:
        known = {(topic, part) for topic, part, _ in await pool.fetch(SQL["all_positions"])}
        for topic in TOPICS:
            parts = [part for part in range(layout.partitions) if (topic.name, part) not in known]
            if topic.route is not Route.KEYED or not parts:
                continue
            name = layout.name(topic)
            places = [(name, part) for part in parts]
            ask = offsets.begins if name in made else offsets.ends
            found = await asyncio.to_thread(_asked, ask, places)
            columns = {"parts": int2s(parts), "offsets": int8s([found[place] for place in places])}
            await pool.run(SQL["begin_at"], {"topic": topic.name, **columns})
    finally:
        await pool.close()


def _asked(ask: Callable[[list[Place]], dict[Place, int]], places: list[Place]) -> dict[Place, int]:
    """Ask until there is an answer: a partition that was just made has no leader for a moment."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            return ask(places)
        except Unavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(LEADER_PAUSE_S)  # an election tells nobody of its end


async def _link(service: str, settings: Settings, bell: Bell) -> KafkaLink:
    """Connect to the brokers, waiting a while for them."""
    async for attempt in retry.start("Kafka", START_TIMEOUT_S):
        with attempt:
            return await KafkaLink.open(settings.kafka, settings.queue.partitions, service, bell)
    raise Unavailable("Kafka cannot be reached.")
