"""Messages that nobody can work on, put where messages wait: they become dead letters, all else goes on."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.acceptance.installation import WELL, Installation
from tests.patience import until
from tiercel.messages import codec
from tiercel.messages.execution_event import KillRequested
from tiercel.messages.topics import partition_of

DAILY = """\
triggers:
  - id: daily
    type: io.kestra.plugin.core.trigger.Schedule
    cron: "0 4 * * *"
"""
"""A trigger, so that the scheduler hears of the flow."""
WAITING = """\
id: waiting
namespace: bad
tasks:
  - id: pause
    type: io.kestra.plugin.core.flow.Pause
  - id: done
    type: io.kestra.plugin.core.debug.Return
    format: fine
"""
GARBAGE = (b"", b"\xc1", b"\x00", b"no message at all", b"\x82\xa4type\xa2\xff\xfe", b"\x91" * 100_000)
"""Nothing, a byte that means nothing, another type, a text, a text that is no UTF-8, and a list without end."""
LEVEL = 1


async def buried(installation: Installation, topic: str, key: str, count: int) -> bool:
    rows = await installation.sql("SELECT reason FROM tq.dead_letter WHERE topic = %s AND key = %s", topic, key)
    return len(rows) == count and all(reason for (reason,) in rows)


@pytest.mark.parametrize("topic", ["execution_event", "history", "trigger_event"])
async def test_a_message_that_cannot_be_decoded_goes_to_the_dead_letters(
    installation: Installation, topic: str
) -> None:
    """With its reason; what stands behind it in the same partition is worked on."""
    key = f"poison-{topic}"
    for part in range(16):
        for body in GARBAGE:
            await installation.sql(
                f"INSERT INTO tq.{topic} (part, key, level, body) VALUES (%s, %s, %s, %s)", part, key, LEVEL, body
            )

    flow_id = f"after-{topic.replace('_', '-')}"
    execution = await installation.run(WELL.replace("id: well", f"id: {flow_id}") + DAILY, flow_id)
    await until(lambda: buried(installation, topic, key, 16 * len(GARBAGE)), "the dead letters")

    async def none_waits() -> bool:
        return [(0,)] == await installation.sql(f"SELECT count(*) FROM tq.{topic} WHERE key = %s", key)

    # A message is buried before it is acknowledged with its batch: whoever dies between the two buries it again.
    await until(none_waits, "what is buried to be gone from the topic")
    assert "SUCCESS" == execution["state"]["current"]


async def test_a_job_that_cannot_be_decoded_goes_to_the_dead_letters(installation: Installation) -> None:
    """And the worker goes on to claim."""
    for body in GARBAGE:
        await installation.sql(
            "INSERT INTO tq.worker_job (lane, rank, owner, seq, level, body) SELECT lane, 0, %s, 1, %s, %s"
            " FROM unnest(ARRAY['default', '']) AS lane",
            *("poison-job", LEVEL, body),
        )

    execution = await installation.run(WELL.replace("id: well", "id: after-job"), "after-job")

    assert "SUCCESS" == execution["state"]["current"]

    async def look() -> bool:
        rows = await installation.sql("SELECT 1 FROM tq.dead_letter WHERE topic = 'worker_job' AND key = 'poison-job'")
        return len(rows) >= len(GARBAGE)

    await until(look, "the dead letters")


@pytest.mark.parametrize("topic", ["broadcast", "worker_event"])
async def test_a_broadcast_that_cannot_be_decoded_is_passed_over(installation: Installation, topic: str) -> None:
    """By everybody who listens."""
    for body in GARBAGE:
        await installation.sql(f"INSERT INTO tq.{topic} (level, body) VALUES (%s, %s)", LEVEL, body)

    flow_id = f"after-{topic.replace('_', '-')}"
    execution = await installation.run(WELL.replace("id: well", f"id: {flow_id}"), flow_id)

    assert "SUCCESS" == execution["state"]["current"]


async def test_dead_letters_are_counted_in_the_metrics(installation: Installation) -> None:
    """An operator is told by the depth of the topic `dead_letter`."""
    await installation.sql(
        "INSERT INTO tq.dead_letter (topic, key, reason, body) VALUES ('history', 'counted', 'A test.', '')"
    )

    async def look() -> float | None:
        return await installation.metric("webserver", "tiercel_queue_messages", topic="dead_letter")

    assert await until(look, "the metric")


async def test_state_that_cannot_be_decoded_fails_no_other_execution(installation: Installation) -> None:
    """Another execution of the same partition runs, though the ruined one's events cannot be decided."""
    await installation.put(WAITING)
    await installation.put(WELL.replace("id: well", "id: neighbour"))
    ruined = await installation.start("waiting")

    async def paused() -> bool:
        return (await installation.execution(ruined))["state"]["current"] == "PAUSED"

    await until(paused, "the pause")
    await installation.sql("UPDATE ts.execution SET head = %s WHERE id = %s", b"\xc1", ruined)
    await installation.sql("UPDATE tq.lease SET token = gen_random_uuid()::text WHERE service = 'executor'")

    partition = partition_of(ruined)
    kill = codec.encode(KillRequested(execution_id=ruined, at=datetime.now(UTC)))
    await installation.sql(
        "INSERT INTO tq.execution_event (part, key, level, body) VALUES (%s, %s, %s, %s)",
        partition,
        ruined,
        LEVEL,
        kill,
    )
    others: list[str] = []
    while len(others) < 20 or not any(partition_of(each) == partition for each in others):
        assert len(others) < 1000
        others.append(await installation.start("neighbour"))
    ended = [await installation.ended(each) for each in others]

    assert {"SUCCESS"} == {each["state"]["current"] for each in ended}
    await until(lambda: buried(installation, "execution_event", ruined, 1), "the dead letter")
