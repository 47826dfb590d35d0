"""What one execution of one task costs."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
import psycopg

from bench import flows
from bench.benchmark import Benchmark, Results, Unit
from bench.target import Target

RATE: Final = 200.0
COUNT: Final = 4000


async def measure(target: Target) -> Results:
    """Offer a moderate rate, and divide what was used by the number of executions."""
    assert target.processes is not None
    await target.put_flow(flows.ONE_TASK)
    await _offer(target, COUNT // 8)
    await asyncio.sleep(2.0)
    wal, cpu = _wal(target), target.processes.cpu_s()
    await _offer(target, COUNT)
    await asyncio.sleep(2.0)
    used = {name: seconds - cpu.get(name, 0.0) for name, seconds in target.processes.cpu_s().items()}
    return {
        "cpu_ms": round(sum(used.values()) * 1000 / COUNT, 3),
        "by_process": {name: round(seconds * 1000 / COUNT, 3) for name, seconds in used.items()},
        "wal_bytes": round((_wal(target) - wal) / COUNT),
    }


async def _offer(target: Target, count: int) -> None:
    connections = await target.connections(32)
    content = target.post("bench", "one-task", {"name": "bench"})
    loop = asyncio.get_running_loop()
    begin, answers = loop.time(), []
    for number in range(count):
        if (wait := begin + number / RATE - loop.time()) > 0:
            await asyncio.sleep(wait)
        answers.append(connections.send(content))
    done = await asyncio.gather(*answers)
    assert all(status == 200 for status, _ in done)
    for _, body in done[-20:]:
        await target.ended(msgspec.json.decode(body)["id"])


def _wal(target: Target) -> int:
    """Return the position in the write-ahead log, in bytes."""
    assert target.server is not None
    socket = (target.server.data / "postgres.socket").read_text()
    with psycopg.connect(f"postgresql://tiercel@/tiercel?host={socket}", autocommit=True) as connection:
        row = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
    assert row is not None
    return int(row[0])


BENCHMARK = Benchmark(
    name="cost",
    method=(
        f"{COUNT:,} executions of one Log task at {RATE:g}/s; processor time of all processes and bytes of write-ahead "
        "log between two seconds of rest before and after, divided by their number."
    ),
    units={"cpu_ms": Unit.TIME},
    measure=measure,
    needs_own_server=True,
)
