"""
Functions as tasks: `@task("company.tasks.Greet")` makes a type of a function, its parameters are the properties.

A parameter's annotation is what its property is converted to, its default the property's; each may be an expression.
A parameter named `context` is given the context of the run. What is returned are the outputs: a map, a dataclass, a
Struct, or one value, which becomes the output `value`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Annotated, Any, BinaryIO, ClassVar, Final, TypeVar, get_type_hints

import msgspec

from tiercel.model.property import DYNAMIC
from tiercel.plugins import thread
from tiercel.plugins.base import RunContext, RunnableTask, TaskResult
from tiercel.plugins.registry import register

F = TypeVar("F", bound=Callable[..., Any])
CONTEXT: Final = "context"
VALUE: Final = "value"


class BlockingContext:
    """
    What a function that is not `async` may use of its run: the same, without `await`.

    It runs in a thread of its own; what it asks for is done on the worker's loop.
    """

    def __init__(self, context: RunContext, loop: asyncio.AbstractEventLoop) -> None:
        self._context, self._loop = context, loop
        self.variables: Mapping[str, Any] = context.variables
        self.namespace, self.flow_id = context.namespace, context.flow_id
        self.execution_id, self.task_run_id = context.execution_id, context.task_run_id
        self.attempt = context.attempt
        self.working_dir: Path = context.working_dir

    def log(self, level: str, message: str) -> None:
        """Log a line of the task run."""
        self._soon(self._context.log, level, message)

    def counter(self, name: str, value: float, **tags: str) -> None:
        """Publish a counter."""
        self._soon(lambda: self._context.counter(name, value, **tags))

    def timer(self, name: str, seconds: float, **tags: str) -> None:
        """Publish a duration."""
        self._soon(lambda: self._context.timer(name, seconds, **tags))

    def gauge(self, name: str, value: float, **tags: str) -> None:
        """Publish a level."""
        self._soon(lambda: self._context.gauge(name, value, **tags))

    def render(self, value: Any, as_type: Any = str, /, **more: Any) -> Any:
        """Render a value and convert it."""
        return self._done(self._context.render(value, as_type, **more))

    def store(self, name: str, content: Path | bytes | BinaryIO) -> str:
        """Put a file into internal storage, in a folder of this run; return its URI."""
        return str(self._done(self._context.store(name, content, apart=True)))

    def fetch(self, uri: str, name: str | None = None) -> Path:
        """Copy a file of internal storage into the working folder; return its path."""
        path: Path = self._done(self._context.fetch(uri, name))
        return path

    def _soon(self, action: Callable[..., object], *arguments: Any) -> None:
        # A loop that is closed belongs to a worker that is gone: nobody reads what is said.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(action, *arguments)

    def _done(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


class FunctionTask(RunnableTask, frozen=True, kw_only=True):
    """A task that calls a function."""

    FUNCTION: ClassVar[Callable[..., Any]]
    TYPES: ClassVar[Mapping[str, Any]] = {}

    async def run(self, context: RunContext) -> TaskResult | dict[str, Any]:
        """Render the properties, call the function, and return what it returns."""
        function = type(self).FUNCTION
        values = {name: await context.render(getattr(self, name), kind) for name, kind in self.TYPES.items()}
        takes_context = CONTEXT in inspect.signature(function).parameters
        if inspect.iscoroutinefunction(function):
            result = await function(**values, **({CONTEXT: context} if takes_context else {}))
        else:
            if takes_context:
                values[CONTEXT] = BlockingContext(context, asyncio.get_running_loop())
            result = await thread.run(lambda: function(**values), f"task-{function.__name__}")
        return result if isinstance(result, TaskResult) else outputs_of(result)


def task(name: str, *aliases: str) -> Callable[[F], F]:
    """Register a function as the type of this name; the function itself stays as it is."""

    def decorate(function: F) -> F:
        register(name, *aliases)(task_class(function))
        return function

    return decorate


def task_class(function: Callable[..., Any]) -> type[FunctionTask]:
    """Return the class of tasks that call a function; raise TypeError when a parameter cannot be a property."""
    hints = get_type_hints(function, include_extras=True)
    fields: list[Any] = []
    types: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == CONTEXT:
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise TypeError(f"The parameter '{parameter}' of the task '{function.__name__}' has no name in a flow.")
        if parameter.name in RunnableTask.__struct_fields__:
            raise TypeError(
                f"The parameter '{parameter.name}' of the task '{function.__name__}' is a property of every task; "
                "name it otherwise."
            )
        kind = hints.get(parameter.name, Any)
        types[parameter.name] = kind
        fields.append(_field(parameter, kind))
    namespace = {
        "__doc__": inspect.getdoc(function) or f"Call {function.__name__}.",
        "FUNCTION": staticmethod(function),
        "TYPES": types,
    }
    made: Any = msgspec.defstruct(
        "".join(part.title() for part in function.__name__.split("_")),
        fields,
        bases=(FunctionTask,),
        module=function.__module__,
        namespace=namespace,
        rename="camel",
        frozen=True,
        kw_only=True,
    )
    found: type[FunctionTask] = made
    return found


def _field(parameter: inspect.Parameter, kind: Any) -> Any:
    marks = getattr(kind, "__metadata__", ())
    plain: Any = kind.__origin__ if marks else kind
    accepted: Any = Any if plain is Any else plain | str
    annotation: Any = Annotated.__class_getitem__((accepted, DYNAMIC, *marks))  # type: ignore[attr-defined]  # marks that are a list cannot be written
    default = parameter.default
    if default is parameter.empty:
        return (parameter.name, annotation)
    if isinstance(default, list | dict | set):
        return (parameter.name, annotation, msgspec.field(default_factory=lambda: type(default)(default)))
    return (parameter.name, annotation, default)


def outputs_of(result: Any) -> dict[str, Any]:
    """Return what a function returned as outputs."""
    if result is None:
        return {}
    if isinstance(result, Mapping):
        return {str(name): value for name, value in result.items()}
    if isinstance(result, msgspec.Struct) or (dataclasses.is_dataclass(result) and not isinstance(result, type)):
        found: dict[str, Any] = msgspec.to_builtins(result)
        return found
    return {VALUE: result}
