"""
The task, trigger and additional types that only the corpora's flows use; importing this module registers them.

They are declared here by what `test_plugins.yaml` of the corpora says of their properties.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, ClassVar

from tiercel.model.property import DEPRECATED, DYNAMIC, Node
from tiercel.model.task import LogLevel, Plugin
from tiercel.plugins.base import PollingTrigger, RealtimeTrigger, RunnableTask
from tiercel.plugins.core.flow.branching import TaskList
from tiercel.plugins.core.flow.sequential import Sequential
from tiercel.plugins.core.flow.subflow import Subflow
from tiercel.plugins.core.trigger.webhook import WebhookTrigger
from tiercel.plugins.registry import register

DEFAULTS_CASE = "io.kestra.core.runners.PluginDefaultsCaseTest$DefaultSequential"
DEFAULTS_SERVICE = "io.kestra.core.services."


@register("io.kestra.core.runners.test.TaskWithAlias", "io.kestra.core.runners.test.task.Alias")
class TaskWithAlias(RunnableTask, frozen=True, kw_only=True):
    message: str


@register("io.kestra.core.runners.test.TriggerWithAlias", "io.kestra.core.runners.test.trigger.Alias")
class TriggerWithAlias(PollingTrigger, frozen=True, kw_only=True):
    interval: timedelta = timedelta(hours=1)


@register("io.kestra.core.tasks.test.NullOutputTask")
class NullOutputTask(RunnableTask, frozen=True, kw_only=True):
    pass


@register("io.kestra.core.runners.test.TaskThatFail")
class TaskThatFail(RunnableTask, frozen=True, kw_only=True):
    message: str


@register("io.kestra.core.tasks.test.Encrypted")
class Encrypted(RunnableTask, frozen=True, kw_only=True):
    format: Annotated[str | None, DYNAMIC] = None


@register("io.kestra.core.tasks.test.BadExecutable")
class BadExecutable(Subflow, frozen=True, kw_only=True):
    pass


@register("io.kestra.core.tasks.test.BadSequential")
class BadSequential(Sequential, frozen=True, kw_only=True):
    pass


@register("io.kestra.core.tasks.test.DynamicTask")
class DynamicTask(RunnableTask, frozen=True, kw_only=True):
    fail: bool = False


@register("io.kestra.core.runners.ListenersTestTask")
class ListenersTestTask(RunnableTask, frozen=True, kw_only=True):
    pass


@register("io.kestra.core.runners.test.WorkerTaskResultTooLarge")
class WorkerTaskResultTooLarge(RunnableTask, frozen=True, kw_only=True):
    pass


@register("io.kestra.core.tasks.test.Read")
class Read(RunnableTask, frozen=True, kw_only=True):
    path: Annotated[str, DYNAMIC]


class DefaultSequential(TaskList, frozen=True, kw_only=True):
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


@register("io.kestra.core.tasks.test.FailingPollingTrigger")
class FailingPollingTrigger(PollingTrigger, frozen=True, kw_only=True):
    pass


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


@register("io.kestra.core.runners.TaskCacheTest$CounterTask")
class CounterTask(RunnableTask, frozen=True, kw_only=True):
    working_dir: Annotated[str | None, DYNAMIC] = None


class AdditionalPlugin(Plugin, frozen=True, kw_only=True):
    pass


@register("io.kestra.core.plugins.AdditionalPluginTest$AdditionalPluginTest1")
class AdditionalPlugin1(AdditionalPlugin, frozen=True, kw_only=True):
    base_message: str


@register("io.kestra.core.plugins.AdditionalPluginTest$AdditionalPluginTest2")
class AdditionalPlugin2(AdditionalPlugin, frozen=True, kw_only=True):
    pass


@register("io.kestra.core.plugins.AdditionalPluginTest$AdditionalPluginTestTask")
class AdditionalPluginTestTask(RunnableTask, frozen=True, kw_only=True):
    additional_plugin: AdditionalPlugin


@register("io.kestra.plugin.core.trigger.WebhookTestPlugin")
class WebhookTestPlugin(WebhookTrigger, frozen=True, kw_only=True):
    failed: bool = False
