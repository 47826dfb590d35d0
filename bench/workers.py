"""What four workers make of tasks that only take time: how busy their slots are while jobs wait."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Final
from urllib.request import urlopen

from bench import flows
from bench.benchmark import Benchmark, Results, Unit
from bench.figures import duration_s
from bench.target import Target
from tiercel.testing.server import free_ports

WORKERS: Final = 4
"""Processes that share the jobs."""
SLOTS: Final = 8
"""Tasks that each runs at a time."""
TASKS: Final = 640
"""Twenty rounds of all slots: beginning and end hardly count."""
WARM: Final = 64
"""Tasks of a first loop, so that no worker has yet to load what they need."""
START_S: Final = 90.0
"""A worker starts within seconds; a busy machine may take longer."""
LOOK_S: Final = 0.1
"""Between two looks whether a worker is ready."""
ANSWER_S: Final = 5.0
"""How long a worker may take to say how it is, on a machine that starts three of them."""
JOIN_S: Final = 4.0
"""Until the workers that were started beside the server have said that they are there."""


async def measure(target: Target) -> Results:
    """Run a loop of tasks of a second, and set it against what the slots could do."""
    with _workers(target, WORKERS - 1) as ports:
        await asyncio.gather(*(_ready(port) for port in ports))
        await asyncio.sleep(JOIN_S)  # a worker that is ready has yet to be heard of
        await target.put_flow(flows.sleeps(WARM))
        await target.ended(await target.start("sleeps"), every_s=0.25)
        await target.put_flow(flows.sleeps(TASKS))
        execution = await target.ended(await target.start("sleeps"), every_s=0.25)
    assert execution["state"]["current"] == "SUCCESS", execution["state"]
    rate = TASKS / duration_s(execution)
    return {"per_second": round(rate, 2), "share_of_slots": round(rate / (WORKERS * SLOTS), 4)}


async def _ready(port: int) -> None:
    """Wait until a worker says that it can be used."""
    async with asyncio.timeout(START_S):  # a worker that does not start fails the benchmark
        while not await asyncio.to_thread(_answers, port):  # noqa: ASYNC110 what is waited for is elsewhere
            await asyncio.sleep(LOOK_S)  # the worker is another process


def _answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=ANSWER_S) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextlib.contextmanager
def _workers(target: Target, count: int) -> Iterator[list[int]]:
    """Run workers beside the one that the server has; yield the ports at which they tell how they are."""
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
        ports = [free_ports()[1] for _ in range(count)]
        for port in ports:
            process = subprocess.Popen(
                [*command, str(port)], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=environment,
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(process.terminate)
        yield ports


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
