"""
`python -m tests.fuzz.flows [--count 20000] [--seed 1]`: random flows over every task type, against the whole engine.

A flow that validates may fail, but only with a sentence for its author: never with an error of Python's or a bug of
ours. Single tasks run as a worker runs them; whole flows on all services in memory, where each execution must end.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from enum import Enum
from pathlib import Path
from random import Random
from typing import Annotated, Any, Final, Union, get_args, get_origin

import httpx
import msgspec
import yaml

from tiercel.client.http import HttpApiClient
from tiercel.errors import InternalError, TiercelError
from tiercel.executor.service import ExecutorService
from tiercel.flowspec.parse import check_document, check_flow
from tiercel.indexer.service import IndexerService
from tiercel.model.input import Input
from tiercel.model.property import Dynamic
from tiercel.model.state import State
from tiercel.model.task import Condition, Retry, Task, Trigger
from tiercel.plugins.base import RunnableTask, TaskRunner
from tiercel.plugins.core.flow.items import PREFIX as INNER
from tiercel.plugins.registry import REGISTRY
from tiercel.runtime.adapters import Adapters
from tiercel.runtime.scratch import Scratch
from tiercel.runtime.service import Service
from tiercel.storage.local import LocalStorage
from tiercel.testing.cluster import MemoryCluster
from tiercel.testing.virtual_time import run_virtual
from tiercel.webserver.app import build
from tiercel.worker.service import WorkerService
from tiercel.worker.settings import WorkerSettings
from tiercel.worker.single import Bench

VARIABLES: Final[dict[str, Any]] = {
    "flow": {"id": "fuzzed", "namespace": "company.team"},
    "execution": {"id": "e"},
    "taskrun": {"id": "r", "value": "1"},
    "inputs": {"text": "x", "list": [1, {"a": None}], "number": 3},
    "outputs": {"t": {"value": "[1, 2]"}},
}
RENDERINGS: Final = (
    "{{ 'wrong' }}",
    "{{ 0 - 1 }}",
    "{{ 1.5 }}",
    "{{ 'P999999999D' }}",
    "{{ [null] }}",
    "{{ {'a': 1} }}",
)
"""Expressions that may stand everywhere, and give what few properties can take."""
TEXTS: Final = (
    "x", "", " ", "{{ nope }}", "{{ inputs.text }}", "{{ inputs.list }}", "{{ inputs.number }}", "{{ 1 + 'x' }}",
    "{{ [] }}", "{{ null }}", "{{", "{% if %}", "kestra:///company/team/_files/a.ion", "kestra:///nope", "kestra:///../x",
    "nsfile:///a.ion", "file:///etc/passwd", "PT0.01S", "-PT1S", "PT1M", "[1, 2]", "[", '{"a": 1}', "1", "-1", "1e400",
    "true", "INFO", "é\u0000",
    "2024-01-01T00:00:00Z", "2024-01-01", "a/b", "**", "[a-", "glob:**", "(a+", ".a", "http://127.0.0.1:1/x", "::",
    "GET", "UTF-8", *RENDERINGS,
)  # fmt: skip
WRONG: Final = (
    None,
    True,
    0,
    -1,
    3,
    2**70,
    1.5,
    "x",
    "{{ inputs.list }}",
    [],
    [None],
    [1, "a"],
    {},
    {"a": None},
    {"key": "k", "value": 1},
)
LEFT_OUT: Final = (
    "timeout",
    "retry",
    "taskCache",
    "workerGroup",
    "workerSelector",
    "policyRefs",
    "assets",
    "version",
    "disabled",
)
"""Fields of all tasks that say nothing about one of them alone."""
SCRIPTS: Final = "io.kestra.plugin.scripts."
QUICK: Final = {
    "commands": ["true"],
    "script": "true",
    "duration": "PT0.01S",
    "checkFrequency": {"maxIterations": 2, "interval": "PT1S"},
    "taskRunner": {"type": "io.kestra.plugin.core.runner.Process"},
}
"""What must not be made up: programs that would run, and times that would pass."""
VIRTUAL_TIME_MAX_S: Final = 4_000.0
"""Longer than anything in a random flow takes; services beat their hearts all the while, which costs."""


class Flows:
    """Makes random tasks and flows."""

    def __init__(self, random: Random, *, wrong: float = 0.03) -> None:
        self._random = random
        self._wrong = wrong
        # Tests register types of their own, which are not held to anything.
        names = [
            name for name in REGISTRY.names() if name.startswith("io.kestra.plugin.") and not name.startswith(INNER)
        ]
        found = [(name, REGISTRY.find(name)) for name in names]
        kinds = [(name, cls) for name, cls in found if cls is not None]
        self.runnable = [name for name, cls in kinds if issubclass(cls, RunnableTask) and not name.startswith(SCRIPTS)]
        self.runnable.append(f"{SCRIPTS}shell.Commands")
        self.all = [
            *self.runnable,
            *(name for name, cls in kinds if issubclass(cls, Task) and not issubclass(cls, RunnableTask)),
        ]
        self._conditions = [name for name, cls in kinds if issubclass(cls, Condition)]
        self._triggers = [name for name, cls in kinds if issubclass(cls, Trigger)]
        self._count = 0

    def task(self, kinds: list[str], depth: int = 0) -> dict[str, Any]:
        """Return a task of one of these types with random properties."""
        kind = self._random.choice(kinds)
        self._count += 1
        return {"id": f"t{self._count}", "type": kind, **self._properties(REGISTRY.find(kind), depth)}

    def flow(self) -> dict[str, Any]:
        """Return a flow of a few tasks, some of which hold others."""
        tasks = [self.task(self.all) for _ in range(self._random.randrange(1, 4))]
        flow: dict[str, Any] = {"id": "fuzzed", "namespace": "company.team", "tasks": tasks}
        if self._random.random() < 0.2:
            flow["errors"] = [self.task(self.runnable)]
        if self._random.random() < 0.2:
            flow["finally"] = [self.task(self.runnable)]
        if self._random.random() < 0.2:
            flow["outputs"] = [
                {"id": "o", "value": self._random.choice(TEXTS), "type": self._random.choice(("STRING", "INT", "JSON"))}
            ]
        if self._random.random() < 0.2:
            flow["variables"] = {"v": self._random.choice(WRONG)}
        return flow

    def rendered_wrong(self, rendering: str) -> Iterator[dict[str, Any]]:
        """Yield a flow for each property of each type that the executor runs itself: there the expression stands."""
        for kind in self.all:
            cls = REGISTRY.find(kind)
            if kind in self.runnable or cls is None:
                continue
            fields = [each for each in msgspec.structs.fields(cls) if each.encode_name not in ("id", "type")]
            needed = {each.encode_name: self._needed(each.type) for each in fields if each.required}
            quick = {each.encode_name: QUICK["checkFrequency"] for each in fields if each.name == "check_frequency"}
            for field in fields:
                if _is_dynamic(field.type):
                    task = {"id": "t", "type": kind, **needed, **quick, field.encode_name: rendering}
                    yield {"namespace": "company.team", "tasks": [task]}

    def _needed(self, annotation: Any) -> Any:
        """Return a value that serves, where any would be too wild."""
        plain = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
        return "team" if plain in (str, Any) or str in get_args(plain) else self._value(annotation, 3)

    def _properties(self, cls: Any, depth: int) -> dict[str, Any]:
        properties: dict[str, Any] = {}
        for field in msgspec.structs.fields(cls):
            name = field.encode_name
            if name in ("id", "type") or name in LEFT_OUT:
                continue
            if name in QUICK:
                properties[name] = QUICK[name]
            elif field.required or self._random.random() < 0.35:
                properties[name] = self._value(field.type, depth)
        return properties

    def _value(self, annotation: Any, depth: int) -> Any:
        random = self._random
        if random.random() < self._wrong:
            return random.choice(WRONG)
        if get_origin(annotation) is Annotated:
            return self._value(get_args(annotation)[0], depth)
        if get_origin(annotation) in (Union, type(int | str)):
            parts = [part for part in get_args(annotation) if part is not type(None)]
            literal = [part for part in parts if part in (timedelta, datetime) or _is_enum(part)]
            return self._value(random.choice(literal if literal and random.random() < 0.7 else parts), depth)
        origin = get_origin(annotation) or annotation
        if origin in (tuple, list, frozenset, set):
            of = [part for part in get_args(annotation) if part is not Ellipsis]
            return [
                self._value(of[0] if of else Any, depth + 1) for _ in range(random.randrange(3) if depth < 3 else 0)
            ]
        if origin is dict:
            of = list(get_args(annotation)) or [str, Any]
            return {random.choice(("a", "b", "c.d")): self._value(of[1], depth + 1) for _ in range(random.randrange(3))}
        if isinstance(origin, type) and issubclass(origin, Enum):
            return random.choice([str(member.value) for member in origin])
        if isinstance(origin, type) and issubclass(origin, msgspec.Struct):
            return self._struct(origin, depth)
        return self._scalar(origin)

    def _struct(self, cls: type[Any], depth: int) -> Any:
        if issubclass(cls, Task):
            self._count += 1
            if depth >= 3:
                return {
                    "id": f"t{self._count}",
                    "type": "io.kestra.plugin.core.log.Log",
                    "message": self._random.choice(TEXTS),
                }
            return self.task(self.all if self._random.random() < 0.5 else self.runnable, depth + 1)
        if issubclass(cls, TaskRunner):
            return QUICK["taskRunner"]
        if issubclass(cls, Condition):
            kind = self._random.choice(self._conditions)
            return {"type": kind, **self._properties(REGISTRY.find(kind), depth + 1)}
        if issubclass(cls, Input):
            self._count += 1
            return {
                "id": f"i{self._count}",
                "type": self._random.choice(("STRING", "INT", "JSON", "BOOL")),
                "required": False,
            }
        if issubclass(cls, Retry):
            return {"type": "constant", "interval": "PT1S", "maxAttempts": 2}
        return self._properties(cls, depth + 1)

    def _scalar(self, kind: Any) -> Any:
        random = self._random
        if kind is bool:
            return random.random() < 0.5
        if kind is int:
            return random.choice((0, 1, 2, -1, 100))
        if kind is float:
            return random.choice((0.0, 1.5, -1.0))
        if kind is timedelta:
            return random.choice(("PT0.01S", "PT1S", "PT0S", "PT1M", "-PT1S"))
        if kind is datetime:
            return random.choice(("2024-01-01T00:00:00Z", "2030-01-01T00:00:00+02:00"))
        if kind is date:
            return "2024-01-01"
        if kind is time:
            return "10:00:00"
        return random.choice(TEXTS if kind is str else (*TEXTS, *WRONG))


def _is_dynamic(annotation: Any) -> bool:
    return any(isinstance(mark, Dynamic) for mark in getattr(annotation, "__metadata__", ()))


def _is_enum(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Enum)


def is_ours(error: BaseException) -> bool:
    """Tell whether an error is a sentence for an author or an operator, and no bug."""
    return isinstance(error, TiercelError | OSError) and not isinstance(error, InternalError)


def try_tasks(count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Run so many random tasks alone; return how they ended, and what was found (at most ten)."""
    flows, ends, found = Flows(Random(seed)), Counter[str](), list[str]()

    async def run_all(folder: Path) -> None:
        storage = LocalStorage(folder / "storage", durable=False)
        await storage.put("main", "/company/team/_files/a.ion", b'{a: 1}\n{a: "x"}\nnull\n')
        bench = Bench(storage, settings=WorkerSettings(temporary_folder=str(folder)), environment={})
        for _ in range(count):
            task = flows.task(flows.runnable)
            document = {"id": "fuzzed", "namespace": "company.team", "tasks": [task]}
            try:
                problems = check_document(document).problems
                if problems:
                    ends["refused"] += 1
                    continue
                outcome = await asyncio.wait_for(bench.run(task, VARIABLES), 20)
            except (KeyboardInterrupt, asyncio.CancelledError):
                raise
            except BaseException as error:  # RecursionError too: whatever a task raises past its outcome is a finding
                found.append(f"{task}: {type(error).__name__}: {error}")
            else:
                ends[str(outcome.state)] += 1
                if outcome.exception is not None and not is_ours(outcome.exception):
                    found.append(f"{task}: {outcome.error}")
            if len(found) >= 10:
                return

    with Scratch("fuzz") as folder:
        asyncio.run(run_all(folder))
    return ends, found


def try_flows(count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Run so many random flows on all services; return how they ended, and what was found (at most ten)."""
    # A flow has many properties: few of them may be wrong, or none would be valid.
    flows = Flows(Random(seed), wrong=0.002)
    return try_documents(flows.flow() for _ in range(count))


def try_documents(documents: Iterable[Mapping[str, Any]]) -> tuple[Counter[str], list[str]]:
    """Run these flows on all services; return how they ended, and what was found (at most ten)."""
    ends, found = Counter[str](), list[str]()

    async def run_all(folder: Path) -> None:
        def services(adapters: Adapters) -> list[Service]:
            transport = httpx.ASGITransport(app=build(adapters), raise_app_exceptions=False)
            adapters.api = HttpApiClient("http://tiercel", transport=transport)
            settings = WorkerSettings(temporary_folder=str(folder))
            return [ExecutorService(adapters), WorkerService(adapters, settings), IndexerService(adapters)]

        async with MemoryCluster(folder, services) as cluster:
            for number, document in enumerate(documents):
                flow = {**document, "id": f"fuzzed-{number}"}
                source = yaml.safe_dump(flow, sort_keys=False, allow_unicode=True)
                end, sentence = await _executed(cluster, source)
                ends[end] += 1
                if sentence is not None:
                    found.append(f"{source}: {sentence}")
                    if len(found) >= 10:
                        return

    with Scratch("fuzz") as folder:
        run_virtual(run_all(folder))
    return ends, found


async def _executed(cluster: MemoryCluster, source: str) -> tuple[str, str | None]:
    """Deploy and run a flow; return how it ended, and what must not be."""
    try:
        report = check_flow(source)
        if report.flow is None:
            return "refused", None
        flow = await cluster.deploy(source)
        execution_id = await cluster.execute(flow)
        state = await _rested(cluster, execution_id)
    except Exception as error:  # whatever a flow does to the engine is a finding
        return "broke", f"{type(error).__name__}: {error}"
    if state not in (*(str(each) for each in State if each.is_terminated), "PAUSED"):
        return f"waits as {state}", f"it waits as {state} for ever"
    bad = [record.run.error for record in await cluster.backend.runs(execution_id) if _shows_python(record.run.error)]
    return state, bad[0] if bad else None


async def _rested(cluster: MemoryCluster, execution_id: str) -> str:
    """Return the state that an execution comes to in more than an hour of virtual time."""
    wait_s, state = 0.01, "nothing"
    while wait_s < VIRTUAL_TIME_MAX_S:
        await cluster.clock.sleep(wait_s)  # virtual time: it passes at once
        loaded = (await cluster.backend.load([execution_id])).get(execution_id)
        if loaded is not None:
            state = str(loaded.head.execution.state)
            if loaded.head.execution.state.is_terminated:
                return state
        wait_s *= 1.5
    return state


def _shows_python(message: str | None) -> bool:
    """Tell whether a failure's sentence begins with the name of an error of Python's."""
    name = (message or "").partition(":")[0]
    return (
        name.endswith(("Error", "Exception", "Warning"))
        and name.isidentifier()
        and name not in ("OSError", "FileNotFoundError")
    )


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.flows", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    code = 0
    for what, attempt, count in (("tasks", try_tasks, options.count), ("flows", try_flows, options.count // 10)):
        ends, found = attempt(count, options.seed)
        print(f"{count} {what}, seed {options.seed}: {dict(ends)}")
        print("\n".join(found))
        code = code or bool(found)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
