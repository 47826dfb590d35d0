"""What one execution of one task costs."""

from __future__ import annotations

import asyncio
from typing import Final

import psycopg

from bench import flows
from bench.benchmark import Benchmark, Results, Unit
from bench.target import Target

RATE: Final = 200.0
"""Executions a second: a load that any machine carries, so that what they cost is measured and not a queue."""
COUNT: Final = 4000
"""Executions: twenty seconds of this load, in which a tick of the processor's clock does not show."""
REST_S: Final = 2.0
"""Before and after: the indexer writes within this time what is left."""


async def measure(target: Target) -> Results:
    """Offer a moderate rate, and divide what was used by the number of executions."""
    assert target.processes is not None
    await target.put_flow(flows.ONE_TASK)
    await _offer(target, COUNT // 8)
    await asyncio.sleep(REST_S)  # what the warming up left behind is written by then
    wal, cpu = _wal(target), target.processes.cpu_s()
    client_cpu_s = await _offer(target, COUNT)
    await asyncio.sleep(REST_S)  # what was measured is written by the indexer by then
    used = {name: seconds - cpu.get(name, 0.0) for name, seconds in target.processes.cpu_s().items()}
    return {
        "cpu_ms": round(sum(used.values()) * 1000 / COUNT, 3),
        "by_process": {name: round(seconds * 1000 / COUNT, 3) for name, seconds in used.items()},
        "wal_bytes": round((_wal(target) - wal) / COUNT),
        "client_us": round(client_cpu_s * 1e6 / COUNT, 1),
    }


async def _offer(target: Target, count: int) -> float:
    connections = await target.connections(32)
    offered = await connections.offer(target.post("bench", "one-task", {"name": "bench"}), RATE, count)
    await asyncio.wait(offered.answers)
    started = [await target.accepted(answer) for answer in offered.answers]
    assert None not in started, f"{started.count(None)} of {count} executions were refused"
    for execution_id in started[-20:]:
        await target.ended(str(execution_id))
    return offered.client_cpu_s


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
        f"log, with {REST_S:g} s of rest after them, divided by their number; the load generator's own is client_us."
    ),
    units={"cpu_ms": Unit.TIME, "client_us": Unit.TIME},
    measure=measure,
    needs_own_server=True,
)
