"""
Run the demonstration: start all processes with a PostgreSQL of their own, send them two flows and a file, show the
execution live, and check every number of the result against a calculation that is made here.

usage: python -m demo [kafka] [minio]

With `kafka`, messages travel through a broker of its own, with `minio`, files are in a bucket of its own (`backing`).
"""

from __future__ import annotations

import asyncio
import collections
import random
import shutil
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from backing import choice
from tiercel.cli.api import RemoteServer
from tiercel.cli.live import LiveView
from tiercel.testing.server import StandaloneServer

HERE: Final = Path(__file__).parent
FOLDER: Final = HERE.parent / "build" / "demo"
CITIES: Final = ("Graz", "Linz", "Wien", "Villach", "Steyr")
ORDERS: Final = 1000
"""Rows of the file: few enough to be made at once, enough for several parts."""
ROWS: Final = 250
"""Rows of a part: four of them."""
BUCKET: Final = "tiercel-demo"


def main(backends: Sequence[str] = ()) -> int:
    """Run it; return 0 only when everything is right."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    expected = write_orders(FOLDER / "orders.csv")
    with ExitStack() as stack:
        environment: dict[str, str] = {}
        for name in backends:
            environment |= started(name, stack)
        print("Starting webserver, scheduler, executor, worker, indexer and PostgreSQL …")
        server = stack.enter_context(StandaloneServer(FOLDER, environment=environment))
        print(f"Ready after {server.ready_s:.1f} s: {server.url} with {describe(server.processes())}\n", flush=True)
        wrong = asyncio.run(run(server, expected))
    for sentence in wrong:
        print(f"WRONG: {sentence}", file=sys.stderr)
    print("\nEverything is as it should be." if not wrong else "\nThe demonstration failed.")
    return 1 if wrong else 0


def started(name: str, stack: ExitStack) -> dict[str, str]:
    """Start a backend; return the settings that have Tiercel use it."""
    match name:
        case "kafka":
            print("Starting Kafka …")
            address = stack.enter_context(choice.kafka_address(FOLDER / "kafka"))
            print(f"    messages travel through {address}")
            return {"TIERCEL_QUEUE_TYPE": "kafka", "TIERCEL_KAFKA_BOOTSTRAP_SERVERS": address}
        case "minio":
            print("Starting MinIO …")
            store = stack.enter_context(choice.s3_address(FOLDER / "minio"))
            print(f"    files are in the bucket '{BUCKET}' of {store.endpoint}")
            return store.environment(BUCKET)
        case _:
            raise SystemExit(f"There is no backend '{name}' to demonstrate; there are kafka and minio.")


def write_orders(file: Path) -> collections.Counter[str]:
    """Write orders (number, city, cents); return what each city must come to."""
    chance = random.Random(42)
    cents: collections.Counter[str] = collections.Counter()
    with file.open("w") as orders:
        for number in range(ORDERS):
            city, amount = chance.choice(CITIES), chance.randrange(100, 99_999)
            cents[city] += amount
            orders.write(f"{number},{city},{amount}\n")
    return cents


def describe(processes: dict[str, int]) -> str:
    return ", ".join(f"{name} {pid}" for name, pid in processes.items())


async def run(server: StandaloneServer, expected: collections.Counter[str]) -> list[str]:
    """Send the flows, start the execution, show it; return what is wrong with it."""
    api = RemoteServer(server.url)
    try:
        for name in ("report", "orders"):
            await api.put_flow((HERE / "flows" / f"{name}.yaml").read_text())
        started = await api.start("demo", "orders", {"orders": FOLDER / "orders.csv", "rows": str(ROWS)})
        view = LiveView(api)
        execution = await view.follow(started["id"])
        files = server.data / "storage" / "main"
        view.show_end(execution, files if files.exists() else None)
        print(f"logs\n  of the execution: {server.url}/api/v1/main/logs/{execution['id']}")
        print(f"  of the processes: {server.log_file}")
        result = execution.get("outputs", {}).get("result")
        content = await api.file(execution["id"], result) if result else b""
        lines = await api.logs(execution["id"])
        return mistakes(execution, content.decode(), lines, expected)
    finally:
        await api.close()


def mistakes(
    execution: dict[str, Any], result: str, logs: list[dict[str, Any]], expected: collections.Counter[str]
) -> list[str]:
    """Compare states, numbers, attempts and logs with what they must be."""
    found = []
    if execution["state"]["current"] != "SUCCESS":
        found.append(f"The execution ended {execution['state']['current']}.")
    total = f"{expected.total()} cents EUR"
    if execution.get("outputs", {}).get("total") != total:
        found.append(f"The total is {execution.get('outputs', {}).get('total')!r}, not {total!r}.")
    cents: collections.Counter[str] = collections.Counter()
    for line in result.splitlines():
        city, amount, currency = (*line.split(","), "", "")[:3]
        cents[city] += int(amount) if currency == "EUR" else 0
    if cents != expected:
        found.append(f"The cities of the result file come to {dict(cents)}, not {dict(expected)}.")
    runs = collections.Counter(run["taskId"] for run in execution.get("taskRunList", []))
    wanted = {"split": 1, "parts": 1, "summarize": 4, "label": 4, "join": 1, "publish": 1, "report": 1}
    if runs != wanted:
        found.append(f"The task runs are {dict(runs)}, not {wanted}.")
    attempts = [
        [attempt["state"]["current"] for attempt in run.get("attempts", [])]
        for run in execution.get("taskRunList", [])
        if run["taskId"] == "publish"
    ]
    if attempts != [["FAILED", "SUCCESS"]]:
        found.append(f"The retried task has the attempts {attempts}.")
    if not any("the receiver is away" in line.get("message", "") for line in logs):
        found.append("The log line of the failed attempt is missing.")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
