"""
What a task type is: a frozen Struct whose fields are its properties, registered under its type name.

A property annotated `Annotated[T, DYNAMIC]` may hold an expression; it keeps the author's value, and the worker renders
it with `context.render(...)` when the task runs. There are four kinds of task, by who runs them:

* `RunnableTask`: the worker calls `run(context)`;
* `FlowableTask`: the executor decides which of its children comes next, in `tiercel.executor.core`;
* `ExecutableTask`: the executor starts other executions for it (Subflow);
* `ExecutionTask`: the executor applies it to the execution itself (Labels).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Final, Protocol

import msgspec

from tiercel.client.base import TenantApi
from tiercel.model.flow import DYNAMIC, Task, Trigger
from tiercel.model.state import State
from tiercel.model.task import Plugin
from tiercel.storage.base import KeyValueEntry, Storage

__all__ = [
    "DYNAMIC",
    "ExecutableTask",
    "ExecutionTask",
    "FlowableTask",
    "PluginRunner",
    "PollingTrigger",
    "RealtimeTrigger",
    "RunContext",
    "RunnableTask",
    "Task",
    "TaskResult",
    "TaskRunner",
    "Trigger",
    "Work",
]


OWN_PREFIX: Final = ".tiercel-"
"""How the names of files begin that the worker itself puts into a task's folder: they are never kept."""
OWN_PREFIXES: Final = (OWN_PREFIX, ".kestra-execution-context.json")
"""The same, with the name that Kestra gives to the execution's context."""


class TaskResult:
    """What a run returns when it is more than outputs: outputs and the state that it ends in."""

    __slots__ = ("outputs", "state")

    def __init__(self, outputs: Mapping[str, Any] | None = None, state: State = State.SUCCESS) -> None:
        self.outputs = outputs
        self.state = state


class KeyValues(Protocol):
    """The key-value store of namespaces, as tasks and expressions see it."""

    async def get(self, namespace: str, key: str) -> Any:
        """Return a value; raise NotFound when there is none (any more)."""
        ...

    async def put(
        self,
        namespace: str,
        key: str,
        value: Any,
        *,
        overwrite: bool = True,
        ttl: timedelta | None = None,
        expires: datetime | None = None,
        description: str | None = None,
    ) -> None:
        """Set a value; raise Conflict when there is one and `overwrite` is false."""
        ...

    async def delete(self, namespace: str, key: str) -> bool:
        """Delete a key, and keep its value as a version; False when there was none."""
        ...

    async def purge(self, namespace: str, key: str) -> bool:
        """Delete a key for good, with all its versions; False when there was none."""
        ...

    async def versions(self, namespace: str, key: str) -> list[KeyValueEntry]:
        """Return what is known of all versions of a key that are left, the oldest first."""
        ...

    async def names(self, namespace: str) -> list[str]:
        """Return every key that has a value, an expired one or an earlier version, in order."""
        ...

    async def purge_version(self, namespace: str, key: str, version: int) -> bool:
        """Delete an earlier version of a key; False when there was none."""
        ...

    async def keys(self, namespace: str, prefix: str = "") -> list[str]:
        """Return the keys that begin with `prefix`, without expired ones."""
        ...

    async def entry(self, namespace: str, key: str) -> KeyValueEntry | None:
        """Return what is known of a key; None when it has no value now."""
        ...

    async def entries(self, namespace: str, *, expired: bool = False) -> list[KeyValueEntry]:
        """Return what is known of all keys; `expired` ones only when asked for."""
        ...


class RunContext(Protocol):
    """What a running task may use. Everything else is out of its reach."""

    variables: Mapping[str, Any]
    """The context that expressions see."""
    tenant_id: str
    namespace: str
    flow_id: str
    execution_id: str
    task_run_id: str
    attempt: int
    storage: Storage
    """Internal storage; `store` and `fetch` serve most tasks better."""

    @property
    def working_dir(self) -> Path:
        """A folder of this run's own, made on first use, removed after the run."""
        ...

    @property
    def key_values(self) -> KeyValues:
        """The key-value store of the tenant."""
        ...

    @property
    def has_api(self) -> bool:
        """False when a task runs alone, without an installation around it."""
        ...

    def api(self, tenant_id: str | None = None) -> TenantApi:
        """Return the installation's API, for tasks that look at the history or command executions and triggers."""
        ...

    async def render(self, value: Any, as_type: Any = str, /, **more: Any) -> Any:
        """
        Render a property (recursively through maps and lists) and convert it to `as_type`; None stays None.

        `more` are variables of this rendering alone. With `Any` a lone expression keeps the type of its value.
        """
        ...

    def log(self, level: str, message: str) -> None:
        """Log a line of the task run."""
        ...

    @property
    def log_is_full(self) -> bool:
        """True when nothing that is logged from now on is kept."""
        ...

    async def room(self) -> None:
        """Wait while too many lines of log wait to be sent; who logs without an end calls it now and then."""
        ...

    def counter(self, name: str, value: float, **tags: str) -> None:
        """Publish a counter."""
        ...

    def timer(self, name: str, seconds: float, **tags: str) -> None:
        """Publish a duration."""
        ...

    def gauge(self, name: str, value: float, **tags: str) -> None:
        """Publish a level: the last one counts."""
        ...

    def encrypt(self, text: str) -> dict[str, str]:
        """Return a text as an encrypted output; it is in clear when the installation has no key."""
        ...

    async def store(
        self, name: str, content: Path | bytes | BinaryIO, *, apart: bool = False, final: bool = False
    ) -> str:
        """
        Put a file into internal storage below this task run; return its URI.

        `final` promises that nobody writes to the file any more: it may be kept itself instead of a copy.

        An attempt may be run twice (a crash of PostgreSQL takes back that its job was taken), and either run may be the
        one that counts. Whoever stores under a name that both would choose stores it `apart`, in a folder of this run.
        """
        ...

    async def fetch(self, uri: str, name: str | None = None, *, read_only: bool = False) -> Path:
        """
        Copy a file of internal storage into the working folder; return its path.

        Without a `name` it gets one of its own, and is not taken for one of the task's files. `read_only` promises that
        nobody writes to it: it may be the stored file itself.
        """
        ...

    @property
    def containers_may(self) -> frozenset[str]:
        """What the operator allows containers of tasks beyond the usual: `volumes`, `privileged`."""
        ...

    @property
    def cache_dir(self) -> Path:
        """A folder of the worker that outlives its runs: what is in it may be gone at any time."""
        ...

    def local_file(self, path: str) -> Path:
        """Return the path of a file on the worker's disk; raise Refused unless the operator allows its folder."""
        ...

    def report_run(
        self,
        task_id: str,
        *,
        state: State,
        value: str | None = None,
        outputs: Mapping[str, Any] | None = None,
        error: str | None = None,
    ) -> None:
        """Tell of a task run that this task has made up (a step of a tool that it drives)."""
        ...

    def on_kill(self, action: Callable[[], None]) -> None:
        """Call `action` when the run is killed or times out, before it is cancelled."""
        ...

    def now(self) -> datetime:
        """Tell the time, as the worker does."""
        ...


class RunnableTask(Task, frozen=True, kw_only=True):
    """A task that a worker runs."""

    BLOCKING: ClassVar[bool] = False
    """True when `run` would hold the event loop: the worker then runs it in a thread of its own."""
    COMPUTES: ClassVar[bool] = False
    """
    True when `run` only renders, and does nothing outside but log, measure and return: it may be run for nothing.

    What expressions ask of the world is not done then (`tiercel.queue.base.Ahead`).
    """

    async def run(self, context: RunContext) -> Mapping[str, Any] | TaskResult | None:
        """Do the work and return the outputs; raise TaskFailed with a sentence when it cannot be done."""
        raise NotImplementedError(f"{type(self).__name__} says nothing about what it does.")  # abstract


def only_computes(task: Task) -> bool:
    """Tell whether a task may be run for nothing: it computes, and keeps nothing but what it reports."""
    has_cache = task.task_cache is not None and task.task_cache.enabled
    return isinstance(task, RunnableTask) and task.COMPUTES and not has_cache and not task.log_to_file


class FlowableTask(Task, frozen=True, kw_only=True):
    """A task that holds other tasks."""

    SHOWN: ClassVar[tuple[str, ...]] = ()
    """Fields whose values are the outputs of its task runs."""

    def branches(self) -> Iterator[tuple[str, tuple[Task, ...]]]:
        """Yield each list of child tasks with its name (`tasks`, `errors`, `finally`, `then`, `cases.a` …)."""
        return iter(())

    def children(self) -> Iterator[Task]:
        """Yield the tasks of all branches, in order."""
        for _, tasks in self.branches():
            yield from tasks


class ExecutableTask(Task, frozen=True, kw_only=True):
    """A task for which the executor starts other executions."""


class ExecutionTask(Task, frozen=True, kw_only=True):
    """A task that the executor applies to the execution itself."""


class TaskRunner(Plugin, frozen=True, kw_only=True):
    """Where the commands of a script run: as a process of the worker, in a container, …"""


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What a task runner of a plugin is given to run."""

    command: tuple[str, ...]
    """The program and its arguments."""
    folder: Path
    """
    The task's folder on the worker: input files are in it, and output files must be when the command has ended. The
    command is to be run in it, or in a copy of it: it names files relative to it.
    """
    environment: Mapping[str, str]
    """Variables of the process beside those of its machine."""
    image: str | None
    """The image that the task names, for runners that run containers."""
    output: Callable[[str, bytes], None]
    """Takes what the process prints, in pieces of any size: the stream (`stdout`, `stderr`) and the bytes."""


class PluginRunner(TaskRunner, frozen=True, kw_only=True):
    """
    A task runner that a plugin brings: another machine, a batch system, a sandbox.

    What it says of variables and of the environment wins over what the task and its commands have.
    """

    async def variables(self, context: RunContext) -> Mapping[str, Any]:
        """Return variables for commands, unrendered: a `workingDir` and `outputDir` of its own, a `bucketPath`, …"""
        return {}

    async def environment(self, context: RunContext) -> Mapping[str, Any]:
        """Return variables of the process, unrendered."""
        return {}

    async def run(self, context: RunContext, work: Work) -> int:
        """Run the command to its end, stop it when cancelled, and return its exit code."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it runs a command.")  # abstract


class PollingTrigger(Trigger, frozen=True, kw_only=True):
    """A trigger that a worker asks at every `interval` whether there is something to run for."""

    interval: timedelta = timedelta(seconds=60)

    async def evaluate(self, context: RunContext) -> Mapping[str, Any] | None:
        """Return the trigger's variables of an execution to start, None when there is nothing."""
        raise NotImplementedError(f"{type(self).__name__} says nothing about what it looks for.")  # abstract


class RealtimeTrigger(Trigger, frozen=True, kw_only=True):
    """A trigger that a worker keeps running, and that starts an execution whenever something happens."""

    def events(self, context: RunContext) -> AsyncIterator[Mapping[str, Any]]:
        """Yield the trigger's variables of each execution to start, until cancelled."""
        raise NotImplementedError(f"{type(self).__name__} says nothing about what it listens to.")  # abstract
