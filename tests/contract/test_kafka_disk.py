"""A broker whose disk is full: what was confirmed is there, what was not is sent when there is room again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backing.kafka import KafkaBroker
from tests.contract.backends import KafkaContract
from tests.contract.samples import event, minutes
from tests.contract.steps import ALL
from tests.patience import PATIENCE_S, at_last, until
from tiercel.errors import Unavailable
from tiercel.messages.topics import EXECUTION_EVENT

SIZE = "192m"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder on a disk of its own, which only root can make."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder]).returncode:
        pytest.skip("a small disk can only be made by root, with the right to mount")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


async def test_a_full_disk_of_the_broker_is_waited_for(
    postgres_database: str, kafka: str, topic_prefix: str, small_disk: Path
) -> None:
    """The broker stops when it cannot write; transactions commit, and their messages arrive once when it is back."""
    with KafkaBroker(small_disk) as broker:
        contract = await KafkaContract.open_on(postgres_database, broker.bootstrap, f"{topic_prefix}disk_")
        await contract.queue.emit(event("a", 0))
        ballast = small_disk / "ballast"
        _fill(ballast)

        for minute in range(1, 20):
            async with contract.state.transaction([]) as unit:
                unit.emit(*(event("a", minute) for _ in range(1)), *(event(f"k{n}", minute) for n in range(200)))

        async def refused() -> bool:
            try:
                await contract.queue.emit(*(event(f"k{n}", 59) for n in range(200)))
            except Unavailable:
                return True
            return False

        await until(refused, "the broker to refuse what it cannot write")
        ballast.unlink()
        await asyncio.to_thread(broker.restart, immediately=True)

        async def found() -> list[int]:
            with contextlib.suppress(Unavailable):
                read = await contract.queue.read(EXECUTION_EVENT, ALL, count=100_000)
                return minutes([delivery for delivery in read if delivery.key == "a"])
            return []

        assert list(range(20)) == await at_last(found, lambda each: len(each) >= 20, within_s=2 * PATIENCE_S)
        await contract.close()


def _fill(file: Path) -> None:
    """Write until nothing more can be written."""
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as ballast:
        while True:
            ballast.write(b"\0" * (1 << 20))
    with contextlib.suppress(OSError), file.open("ab", buffering=0) as ballast:
        while True:
            ballast.write(b"\0" * 512)
