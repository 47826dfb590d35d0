"""Functions as tasks: parameters are properties, what is returned are outputs."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from tests.patience import PATIENCE_S
from tiercel.errors import TaskFailed
from tiercel.flowspec.fragment import check_task_document
from tiercel.flowspec.schema import generate
from tiercel.model.state import State
from tiercel.plugins import registry as registries
from tiercel.plugins.base import RunContext, TaskResult
from tiercel.plugins.function import BlockingContext, task, task_class
from tiercel.storage.local import LocalStorage
from tiercel.worker.single import Bench, RunOutcome

PREFIX = "tests.function."


class Colour(StrEnum):
    RED = "RED"


@dataclasses.dataclass
class Pair:
    left: int
    right: list[str]


@task(f"{PREFIX}Everything", f"{PREFIX}Older")
async def everything(
    name: Annotated[str, Meta(description="A name.", min_length=1)],
    how_often: int = 2,
    wait_for: timedelta = timedelta(0),
    colour: Colour = Colour.RED,
    tags: list[str] = ["a"],  # noqa: B006 the class copies it
    anything: Any = None,
) -> dict[str, Any]:
    """Return what it was given."""
    return {"name": name, "n": how_often, "wait": wait_for, "colour": colour, "tags": tags, "anything": anything}


@task(f"{PREFIX}Plain")
def plain(context: BlockingContext, text: str) -> Pair:
    context.log("WARN", f"saw {text}")
    context.counter("seen", 1, kind="text")
    uri = context.store("file.txt", text.encode())
    read = context.fetch(uri).read_text()
    return Pair(left=len(context.render("{{ name }}")), right=[read, threading.current_thread().name])


@task(f"{PREFIX}Answer")
async def answer(context: RunContext, kind: str) -> Any:
    match kind:
        case "value":
            return 42
        case "nothing":
            return None
        case "warning":
            return TaskResult({"a": 1}, State.WARNING)
        case "failed":
            raise TaskFailed("I do not want to.", {"so": "far"})
    raise ValueError(f"{kind} of {context.namespace}")


@task(f"{PREFIX}Endless")
def endless() -> None:
    threading.Event().wait(30)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(LocalStorage(tmp_path))


async def run(bench: Bench, name_: str, **properties: Any) -> RunOutcome:
    return await bench.run({"id": "t", "type": PREFIX + name_, **properties}, {"name": "World", "n": 3})


async def test_properties_are_rendered_and_converted(bench: Bench) -> None:
    """Each to what its parameter's annotation says; defaults are the function's own."""
    outcome = await run(
        bench,
        "Everything",
        name="{{ name }}",
        howOften="{{ n }}",
        waitFor="PT5S",
        tags='["x", "{{ n }}"]',
        anything="{{ n }}",
    )
    defaults = await run(bench, "Older", name="x")

    expected = {"name": "World", "n": 3, "wait": timedelta(seconds=5), "colour": "RED", "tags": ["x", "3"]}
    assert {**expected, "anything": 3} == outcome.outputs
    assert (2, ["a"], None) == tuple(defaults.outputs[key] for key in ("n", "tags", "anything"))


async def test_a_function_that_blocks_has_a_thread_and_its_context(bench: Bench) -> None:
    """It logs, measures, stores and renders without `await`; a dataclass is outputs."""
    outcome = await run(bench, "Plain", text="some text")

    assert outcome.state is State.SUCCESS, outcome.error
    assert {"left": 5, "right": ["some text", "task-plain"]} == outcome.outputs
    assert ("WARN", "saw some text") == (outcome.logs[0].level, outcome.logs[0].message)
    assert [{"type": "counter", "name": "seen", "value": 1.0, "tags": {"kind": "text"}}] == outcome.metrics


async def test_what_a_function_stores_stays_what_it_was_when_the_attempt_is_run_again(bench: Bench) -> None:
    """After a crash of the queue a job may be run again: both runs store under the same name."""
    for text in ("first", "second"):
        assert (await run(bench, "Plain", text=text)).state is State.SUCCESS

    storage = bench.surroundings.storage
    files = [uri for uri in await storage.by_prefix("main", "/") if uri.endswith("/file.txt")]
    assert ["first", "second"] == sorted([(await storage.read("main", uri)).decode() for uri in files])


async def test_what_is_returned_or_raised_ends_the_task(bench: Bench) -> None:
    """One value is `value`, nothing is no outputs, a result may be a warning, and a failure keeps its outputs."""
    kinds = ("value", "nothing", "warning", "failed", "other")
    ends = {kind: await run(bench, "Answer", kind=kind) for kind in kinds}

    assert [{"value": 42}, {}, {"a": 1}, {"so": "far"}, {}] == [ends[kind].outputs for kind in kinds]
    states = [State.SUCCESS, State.SUCCESS, State.WARNING, State.FAILED, State.FAILED]
    assert states == [ends[kind].state for kind in kinds]
    assert ("I do not want to.", "ValueError: other of company.team") == (ends["failed"].error, ends["other"].error)


async def test_a_function_that_does_not_end_is_left_behind(bench: Bench) -> None:
    """Its timeout ends the task; the thread holds nobody up."""
    async with asyncio.timeout(PATIENCE_S):
        outcome = await run(bench, "Endless", timeout="PT0.1S")

    assert outcome.state is State.FAILED
    assert "Timeout" in (outcome.error or "")


def test_a_flow_that_uses_it_wrongly_is_refused_when_it_is_saved() -> None:
    """Like any other type: what is required, what is unknown, what is out of bounds."""
    given = {"id": "t", "type": f"{PREFIX}Everything"}

    assert ["must not be null"] == [problem.message for problem in check_task_document(given)]
    unknown = check_task_document({**given, "name": "x", "colur": "RED"})
    assert 'did you mean "colour"?' in unknown[0].message
    assert check_task_document({**given, "name": ""})
    assert check_task_document({**given, "name": "x", "colour": "BLUE"})


def test_it_has_a_schema_like_any_other_type() -> None:
    """Title, meanings, defaults and older names come from the function."""
    schema = generate.schema_of_type(f"{PREFIX}Everything")

    assert "Return what it was given." == schema["title"]
    assert {"enum": [f"{PREFIX}Everything", f"{PREFIX}Older"]} == schema["properties"]["type"]
    assert ("A name.", 2) == (
        schema["properties"]["name"]["description"],
        schema["properties"]["howOften"]["default"],
    )
    assert {"id", "type", "name"} == set(schema["required"])


def test_parameters_that_cannot_be_properties_are_refused() -> None:
    """When the module is imported, with a sentence."""

    def starred(*names: str) -> None: ...

    def taken(timeout: int) -> None: ...

    with pytest.raises(TypeError, match="has no name in a flow"):
        task_class(starred)
    with pytest.raises(TypeError, match="'timeout' of the task 'taken' is a property of every task"):
        task_class(taken)


def test_the_function_stays_a_function() -> None:
    """It can be called in its own tests."""
    assert {"value": 42} == {"value": asyncio.run(answer(None, "value"))}
    assert issubclass(registries.REGISTRY.find(f"{PREFIX}Plain") or object, msgspec.Struct)


def test_a_package_that_cannot_be_imported_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is named in the log; everything else is there."""

    class Broken:
        name, value = "broken", "nobody.tasks"

        def load(self) -> None:
            raise ImportError("no module named 'nobody'")

    monkeypatch.setattr(registries, "entry_points", lambda group: [Broken()])
    registry = registries.PluginRegistry()

    registry.load()

    assert "the plugin 'broken' (nobody.tasks) cannot be loaded" in caplog.text
