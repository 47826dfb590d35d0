"""
History becomes rows: a batch is one transaction; what cannot be written is found by halves and buried.

A batch that fails for a reason of its own (not because the database is away) holds a message that cannot be written.
Halving finds it in few transactions, and the others are written.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from tiercel.errors import Unavailable
from tiercel.indexer import metrics
from tiercel.indexer.core.fold import fold
from tiercel.messages.history import History
from tiercel.messages.topics import HISTORY
from tiercel.queue.base import Delivery, Queue
from tiercel.repository.base import Repository

log = logging.getLogger(__name__)


async def write(repository: Repository, queue: Queue, deliveries: Sequence[Delivery[History]]) -> None:
    """Write deliveries; when this returns each of them is in the repository or in the dead letters."""
    readable = [(delivery, delivery.message) for delivery in deliveries if delivery.message is not None]
    for delivery in deliveries:
        if delivery.message is None:
            await _bury(queue, delivery, delivery.error or "it cannot be decoded")
    if not readable:
        return
    try:
        with metrics.SERVER_SECONDS.time():
            await repository.write(fold(message for _, message in readable))
        metrics.WRITTEN.inc(len(readable))
    except Unavailable:
        raise
    except Exception as error:  # whatever is wrong with one message must not stop the others
        if len(readable) == 1:
            await _bury(queue, readable[0][0], f"{type(error).__name__}: {error}")
            return
        log.warning(
            "a batch of %s messages of history cannot be written, looking for the culprit: %s",
            len(readable),
            error,
            extra={"action": "batch_halved"},
        )
        middle = len(readable) // 2
        for half in (readable[:middle], readable[middle:]):
            await write(repository, queue, [delivery for delivery, _ in half])


async def _bury(queue: Queue, delivery: Delivery[History], reason: str) -> None:
    await queue.bury(HISTORY, delivery, reason)
    metrics.BURIED.inc()
    log.error(
        "a message of history of '%s' cannot be written and goes to the dead letters: %s",
        delivery.key,
        reason,
        extra={"action": "history_buried", "key": delivery.key},
    )
