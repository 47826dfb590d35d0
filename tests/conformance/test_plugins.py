"""
The task, trigger and additional types that only the corpora's flows use; importing this module registers them.

They do what `test_plugins.yaml` of the corpora says of them.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

from tests.conformance.files import rows
from tests.conformance.values import iso
from tiercel.errors import TaskFailed
from tiercel.model.property import DEPRECATED, DYNAMIC, Node
from tiercel.model.state import State
from tiercel.model.task import LogLevel, Plugin
from tiercel.plugins.base import PluginRunner, PollingTrigger, RealtimeTrigger, RunContext, RunnableTask, Work
from tiercel.plugins.core.flow.branching import TaskList
from tiercel.plugins.core.flow.sequential import Sequential
from tiercel.plugins.core.flow.subflow import Subflow
from tiercel.plugins.core.trigger.webhook import WebhookTrigger
from tiercel.plugins.registry import register

DEFAULTS_CASE = "io.kestra.core.runners.PluginDefaultsCaseTest$DefaultSequential"
DEFAULTS_SERVICE = "io.kestra.core.services."
RUNS: Final[Counter[str]] = Counter()
"""How often a task has run since the case began, by its tenant: where cases share processes each has one of its own."""


SPOKEN: Final = "io.kestra.core.models.tasks.runners.TaskRunnerTest$TaskRunnerAdditional"


@register(SPOKEN)
class SpokenRunner(PluginRunner, frozen=True, kw_only=True):
    """A task runner that notes what it is given, and runs nothing."""

    vars: dict[str, Any]
    env: dict[str, Any]
    said: dict[str, Any]

    async def variables(self, context: RunContext) -> dict[str, Any]:
        return self.vars

    async def environment(self, context: RunContext) -> dict[str, Any]:
        return self.env

    async def run(self, context: RunContext, work: Work) -> int:
        self.said.update(command=work.command, environment=work.environment)
        return 0


@register("io.kestra.core.runners.test.TaskWithAlias", "io.kestra.core.runners.test.task.Alias")
class TaskWithAlias(RunnableTask, frozen=True, kw_only=True):
    message: str

    async def run(self, context: RunContext) -> None:
        context.log("INFO", self.message)


@register("io.kestra.core.runners.test.TriggerWithAlias", "io.kestra.core.runners.test.trigger.Alias")
class TriggerWithAlias(PollingTrigger, frozen=True, kw_only=True):
    interval: timedelta = timedelta(hours=1)

    async def evaluate(self, context: RunContext) -> None:
        return None


@register("io.kestra.core.tasks.test.NullOutputTask")
class NullOutputTask(RunnableTask, frozen=True, kw_only=True):
    async def run(self, context: RunContext) -> dict[str, Any]:
        return {"value": None}


@register("io.kestra.core.runners.test.TaskThatFail")
class TaskThatFail(RunnableTask, frozen=True, kw_only=True):
    message: str

    async def run(self, context: RunContext) -> None:
        raise TaskFailed("An exception occurs", {"message": self.message})


@register("io.kestra.core.tasks.test.Encrypted")
class Encrypted(RunnableTask, frozen=True, kw_only=True):
    format: Annotated[str | None, DYNAMIC] = None

    async def run(self, context: RunContext) -> dict[str, Any]:
        text = await context.render(self.format)
        try:
            return {"value": context.encrypt(text)}
        except TaskFailed:  # without a key it is given as it is
            return {"value": text}


@register("io.kestra.core.tasks.test.BadExecutable")
class BadExecutable(Subflow, frozen=True, kw_only=True):
    pass


@register("io.kestra.core.tasks.test.BadSequential")
class BadSequential(Sequential, frozen=True, kw_only=True):
    pass


@register("io.kestra.core.tasks.test.DynamicTask")
class DynamicTask(RunnableTask, frozen=True, kw_only=True):
    fail: bool = False

    async def run(self, context: RunContext) -> None:
        state = State.FAILED if self.fail else State.SUCCESS
        context.report_run(secrets.token_hex(8), value=secrets.token_hex(8), state=state)
        if self.fail:
            raise TaskFailed("Task failed")


@register("io.kestra.core.runners.ListenersTestTask")
class ListenersTestTask(RunnableTask, frozen=True, kw_only=True):
    async def run(self, context: RunContext) -> dict[str, Any]:
        # Tasks of listeners run when the execution has ended: there is nothing to wait for.
        return {"value": f"Execution(id={context.execution_id}, flowId={context.flow_id})"}


@register("io.kestra.core.runners.test.WorkerTaskResultTooLarge")
class WorkerTaskResultTooLarge(RunnableTask, frozen=True, kw_only=True):
    async def run(self, context: RunContext) -> dict[str, Any]:
        return {"value": "a" * 1_100_000}


@register("io.kestra.core.tasks.test.Read")
class Read(RunnableTask, frozen=True, kw_only=True):
    path: Annotated[str, DYNAMIC]

    async def run(self, context: RunContext) -> dict[str, Any]:
        path = context.working_dir / str(await context.render(self.path)).lstrip("/")
        return {"value": path.read_text("utf-8")}


class DefaultSequential(TaskList, frozen=True, kw_only=True):
    SHOWN = ("def_",)

    def_: str | None = None


@register(f"{DEFAULTS_CASE}1")
class DefaultSequential1(DefaultSequential, frozen=True, kw_only=True):
    pass


@register(f"{DEFAULTS_CASE}2")
class DefaultSequential2(DefaultSequential, frozen=True, kw_only=True):
    pass


@register(f"{DEFAULTS_CASE}3")
class DefaultSequential3(DefaultSequential, frozen=True, kw_only=True):
    pass


@register("io.kestra.core.models.property.DynamicPropertyExampleTask")
class DynamicPropertyExampleTask(RunnableTask, frozen=True, kw_only=True):
    number: Annotated[int | str | None, DYNAMIC] = None
    string: Annotated[str | None, DYNAMIC] = None
    with_default: Annotated[str, DYNAMIC] = "Default Value"
    level: Annotated[str | LogLevel, DYNAMIC] = LogLevel.INFO
    some_duration: Annotated[str | timedelta | None, DYNAMIC] = None
    items: Annotated[list[str] | str | None, DYNAMIC] = None
    properties: Annotated[dict[str, str] | str | None, DYNAMIC] = None
    data: Annotated[Any, DYNAMIC] = None
    from_: Annotated[Any, DYNAMIC] = None

    async def run(self, context: RunContext) -> dict[str, Any]:
        number = await context.render(self.number, int)
        if number is not None and number < 0:
            raise TaskFailed("number: must be greater than or equal to 0")
        length = await context.render(self.some_duration, timedelta)
        text = await context.render(self.string)
        default = await context.render(self.with_default)
        return {
            "value": f"{text} - {number} - {default} - {iso(length) if length is not None else None}",
            "level": await context.render(str(self.level)),
            "list": await context.render(self.items, list[str]),
            "map": await context.render(self.properties, dict[str, str]),
            "messages": await self._messages(context),
        }

    async def _messages(self, context: RunContext) -> list[dict[str, Any]] | None:
        source = self.from_
        if source is None and isinstance(self.data, dict):
            source = next(iter(self.data.values()), None)
        if source is None:
            return None
        found = await context.render(source, Any)
        if isinstance(found, str) and found.startswith("kestra://"):
            return rows((await context.fetch(found)).read_bytes())
        if isinstance(found, str):
            found = json.loads(found)
        return found if isinstance(found, list) else [found]


class Holder(Node, frozen=True, kw_only=True):
    val: dict[str, Any] | None = None


class HeldProperty(Node, frozen=True, kw_only=True):
    here: str | None = None
    lists: tuple[Holder, ...] = ()


@register(f"{DEFAULTS_SERVICE}PluginDefaultServiceTest$DefaultTester", f"{DEFAULTS_SERVICE}DefaultTesterAlias")
class DefaultTester(RunnableTask, frozen=True, kw_only=True):
    property: HeldProperty | None = None
    value: int | None = None
    double_value: float | None = None
    set: int | None = None
    arrays: tuple[int, ...] = ()
    default_value: str = "default"


@register(f"{DEFAULTS_SERVICE}PluginDefaultServiceTest$DefaultTriggerTester")
class DefaultTriggerTester(PollingTrigger, frozen=True, kw_only=True):
    set: int | None = None


@register(
    f"{DEFAULTS_SERVICE}PluginDefaultServiceTest$DefaultPrecedenceTester",
    f"{DEFAULTS_SERVICE}DefaultPrecedenceTesterAlias",
)
class DefaultPrecedenceTester(RunnableTask, frozen=True, kw_only=True):
    prop_foo: str | None = None
    prop_bar: str | None = None
    prop_baz: str | None = None


@register("io.kestra.core.plugins.test.DeprecatedTask")
class DeprecatedTask(RunnableTask, frozen=True, kw_only=True):
    DEPRECATED: ClassVar[bool] = True

    additional_property: Annotated[str | None, DEPRECATED] = None


@register("io.kestra.core.tasks.test.PollingTrigger")
class CorpusPollingTrigger(PollingTrigger, frozen=True, kw_only=True):
    duration: int = 1000

    async def evaluate(self, context: RunContext) -> dict[str, Any]:
        await asyncio.sleep(self.duration / 1000)  # what the case asks for
        return {}


@register("io.kestra.core.tasks.test.FailingPollingTrigger")
class FailingPollingTrigger(PollingTrigger, frozen=True, kw_only=True):
    async def evaluate(self, context: RunContext) -> None:
        raise TaskFailed("fail")


@register("io.kestra.core.schedulers.SchedulerStreamingTest$RealtimeUnitTest")
class RealtimeUnitTest(RealtimeTrigger, frozen=True, kw_only=True):
    executions_to_create: int | None = None
    failed: bool = False


@register("io.kestra.core.schedulers.AbstractSchedulerTest$UnitTest")
class AlternatingPollingTrigger(PollingTrigger, frozen=True, kw_only=True):
    interval: timedelta = timedelta(seconds=2)
    default_injected: str | None = None


@register("io.kestra.core.schedulers.SchedulerTriggerChangeTest$SleepTriggerTest")
class SleepPollingTrigger(PollingTrigger, frozen=True, kw_only=True):
    interval: timedelta = timedelta(seconds=2)
    sleep: timedelta | None = None


@register("io.kestra.plugin.core.flow.WorkingDirectoryTest$LocalFiles")
class LocalFiles(RunnableTask, frozen=True, kw_only=True):
    inputs: Annotated[Any, DYNAMIC] = None
    outputs: Annotated[list[str] | str | None, DYNAMIC] = None

    async def run(self, context: RunContext) -> dict[str, Any]:
        for name, content in (await context.render(self.inputs, dict[str, str]) or {}).items():
            path = context.working_dir / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content.startswith("kestra://"):
                path.write_bytes((await context.fetch(content)).read_bytes())
            else:
                path.write_text(content, "utf-8")
        patterns = await context.render(self.outputs, list[str]) or []
        return {"uris": {name: await context.store(name, path) for name, path in _found(context.working_dir, patterns)}}


@register("io.kestra.core.runners.TaskCacheTest$CounterTask")
class CounterTask(RunnableTask, frozen=True, kw_only=True):
    working_dir: Annotated[str | None, DYNAMIC] = None

    async def run(self, context: RunContext) -> dict[str, Any]:
        await context.render(self.working_dir, workingDir=str(context.working_dir))
        RUNS[context.tenant_id] += 1
        return {"counter": RUNS[context.tenant_id]}


class AdditionalPlugin(Plugin, frozen=True, kw_only=True):
    def say(self) -> str:
        raise NotImplementedError  # abstract: the two below say it


@register("io.kestra.core.plugins.AdditionalPluginTest$AdditionalPluginTest1")
class AdditionalPlugin1(AdditionalPlugin, frozen=True, kw_only=True):
    base_message: str

    def say(self) -> str:
        return f"1 -> {self.base_message}"


@register("io.kestra.core.plugins.AdditionalPluginTest$AdditionalPluginTest2")
class AdditionalPlugin2(AdditionalPlugin, frozen=True, kw_only=True):
    def say(self) -> str:
        return "Hello World!"


@register("io.kestra.core.plugins.AdditionalPluginTest$AdditionalPluginTestTask")
class AdditionalPluginTestTask(RunnableTask, frozen=True, kw_only=True):
    additional_plugin: AdditionalPlugin

    async def run(self, context: RunContext) -> dict[str, Any]:
        return {"output": self.additional_plugin.say()}


@register("io.kestra.plugin.core.trigger.WebhookTestPlugin")
class WebhookTestPlugin(WebhookTrigger, frozen=True, kw_only=True):
    failed: bool = False


def _found(folder: Path, patterns: list[str]) -> list[tuple[str, Path]]:
    """Return the files of a folder that match a pattern, each with its name in the folder."""
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return [
        (name, path)
        for name, path in files.items()
        if any(path.match(pattern.replace("**", "*")) or _under(name, pattern) for pattern in patterns)
    ]


def _under(name: str, pattern: str) -> bool:
    return pattern.endswith("**") and name.startswith(pattern.removesuffix("**"))
