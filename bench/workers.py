"""What four workers make of tasks that only take time: how busy their slots are while jobs wait."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from bench import flows
from bench.benchmark import Benchmark, Results, Unit
from bench.figures import duration_s
from bench.target import Target
from tiercel.testing.server import free_ports

WORKERS: Final = 4
SLOTS: Final = 8
TASKS: Final = 640
JOIN_S: Final = 4.0
"""Until the workers that were started beside the server have said that they are there."""


async def measure(target: Target) -> Results:
    """Run a loop of tasks of a second, and set it against what the slots could do."""
    await target.put_flow(flows.sleeps(TASKS))
    with _workers(target, WORKERS - 1):
        await asyncio.sleep(JOIN_S)
        execution = await target.ended(await target.start("sleeps"), every_s=0.25)
    assert execution["state"]["current"] == "SUCCESS", execution["state"]
    rate = TASKS / duration_s(execution)
    return {"per_second": round(rate, 2), "share_of_slots": round(rate / (WORKERS * SLOTS), 4)}


@contextlib.contextmanager
def _workers(target: Target, count: int) -> Iterator[None]:
    """Run workers beside the one that the server has."""
    assert target.server is not None
    server = target.server
    socket = (server.data / "postgres.socket").read_text()
    environment = {
        **server.environment,
        "TIERCEL_POSTGRES_URL": f"postgresql://tiercel@/tiercel?host={socket}",
        "TIERCEL_STORAGE_LOCAL_BASE_PATH": str(server.data / "storage"),
    }
    command = (sys.executable, "-m", "tiercel.cli.main", "server", "worker", "--management-port")
    with contextlib.ExitStack() as stack, (server.folder / "workers.log").open("ab") as output:
        for _ in range(count):
            process = subprocess.Popen(
                [*command, str(free_ports()[1])], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=environment,
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(process.terminate)
        yield


BENCHMARK = Benchmark(
    name="workers",
    method=(
        f"{WORKERS} worker processes of {SLOTS} slots; ForEach over {TASKS} values, all at once, with one Sleep of a "
        "second; tasks divided by the execution's duration, and what share that is of one task a second and slot."
    ),
    units={"per_second": Unit.AS_IS, "share_of_slots": Unit.AS_IS},
    measure=measure,
    needs_own_server=True,
    environment={"TIERCEL_WORKER_SLOTS": str(SLOTS)},
)
