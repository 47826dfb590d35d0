"""A message that kills the process that works on it, with real processes that die."""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.contract.backends import PostgresContract
from tests.patience import until
from tests.statemachine.flows import CORE, flow
from tiercel.definitions.postgres.definitions import PostgresDefinitions
from tiercel.flowspec.parse import parse_flow
from tiercel.messages.execution_event import CreateExecution, Event, KillRequested, LabelsRequested
from tiercel.messages.topics import EXECUTION_EVENT, partition_of
from tiercel.model.execution import Execution
from tiercel.model.state import State
from tiercel.queue.base import Outgoing

DEADLINE_S: Final = 240.0
DEATHS: Final = 4
"""Two before anybody is careful, and two with the message in hand."""
TEXT: Final = flow({"id": "wait", "type": CORE + "Pause"})


async def _process(uri: str, folder: Path) -> asyncio.subprocess.Process:
    root = Path(__file__).parents[2]
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.mortal_executor", uri, str(folder), cwd=root
    )


async def _send(backend: PostgresContract, *events: Event) -> None:
    await backend.queue.emit(*(Outgoing(topic=EXECUTION_EVENT, key=one.execution_id, message=one) for one in events))


async def _read(backend: PostgresContract, execution_id: str) -> Execution | None:
    found = (await backend.state.load([execution_id])).get(execution_id)
    return found.head.execution if found is not None else None


async def _until_labelled(backend: PostgresContract, execution_id: str, value: str) -> None:
    async def look() -> bool:
        found = await _read(backend, execution_id)
        return found is not None and found.labels == (("seen", value),)

    await until(look, f"'{execution_id}' to have the label '{value}'", within_s=DEADLINE_S)


async def _until_ended(backend: PostgresContract, execution_id: str) -> Execution:
    async def look() -> Execution | None:
        found = await _read(backend, execution_id)
        return found if found is not None and found.state.is_terminated else None

    return await until(look, f"'{execution_id}' to end", within_s=DEADLINE_S)


async def test_a_message_that_kills_its_owners_goes_to_the_dead_letters(postgres_database: str, tmp_path: Path) -> None:
    """Its execution fails with the reason, and what waits behind it in the partition is worked on."""
    backend = await PostgresContract.open(postgres_database)
    definitions = PostgresDefinitions(
        postgres_database, parse=lambda row: parse_flow(row.source, revision=row.revision)
    )
    await definitions.create(parse_flow(TEXT))
    part = partition_of("poison")
    behind = next(name for name in map("e{}".format, range(1000)) if partition_of(name) == part)
    now = datetime.now(UTC)
    for name in ("poison", behind):
        created = CreateExecution(execution_id=name, at=now, namespace="company.team", flow_id="f", flow_revision=1)
        await _send(backend, created, LabelsRequested(execution_id=name, at=now, labels=(("seen", "1"),)))

    process = await _process(postgres_database, tmp_path)
    try:
        async with asyncio.timeout(DEADLINE_S):
            await _until_labelled(backend, behind, "1")
            await _send(
                backend,
                KillRequested(execution_id="poison", at=now),
                LabelsRequested(execution_id=behind, at=now, labels=(("seen", "2"),)),
            )
            for _ in range(DEATHS):
                assert -signal.SIGKILL == await process.wait()
                process = await _process(postgres_database, tmp_path)
            await _until_labelled(backend, behind, "2")
            poison = await _until_ended(backend, "poison")
            assert process.returncode is None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    good = await _read(backend, behind)

    assert State.FAILED is poison.state
    assert "Its owner died each time" in str(poison.error)
    assert good is not None
    assert State.PAUSED is good.state
    ((topic, key, reason, _),) = await backend.dead_letters()
    assert ("execution_event", "poison") == (topic, key)
    assert "died" in reason
    await definitions.close()
    await backend.close()
