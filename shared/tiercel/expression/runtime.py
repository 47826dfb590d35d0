"""
What an evaluation carries along: the context, the variables a template sets, the bounds, and the output.

A meter is shared by everything one outermost rendering does, nested `render()` calls included, so that no
combination of loops, macros and nesting escapes the bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec

from tiercel.expression.failure import ArgumentRefused, EvaluationFailed, LimitExceeded, located
from tiercel.expression.printing import text_of
from tiercel.expression.values import is_map

if TYPE_CHECKING:
    from tiercel.expression.host import Host
    from tiercel.expression.rendering import Renderer

# Reading the clock costs about as much as a step, so it is read once for this many.
STEPS_PER_CLOCK = 64


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of one rendering."""

    # A nested render() takes some ten stack frames of Python's thousand.
    nesting_max: int = 32
    # Kestra's own bound on recursive rendering.
    passes_max: int = 100
    # Texts beyond this belong into a file.
    size_max: int = 16 * 1024 * 1024
    step_count_max: int = 1_000_000
    # The executor evaluates between two messages; no ordinary expression takes longer.
    time_max_s: float = 10.0


class Meter:
    """Counts steps, time and nesting of one outermost rendering, and knows the secrets that it has read."""

    __slots__ = ("deadline", "limits", "nesting", "secrets", "steps")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.steps = 0
        self.nesting = 0
        self.deadline = 0.0
        # Texts that must not be rendered once more, whatever looks like an expression in them.
        self.secrets: set[str] = set()

    def step(self) -> None:
        """Count one step; raise LimitExceeded when there were too many or time is over."""
        self.steps += 1
        if self.steps % STEPS_PER_CLOCK == 1:
            self.check_time()
        if self.steps > self.limits.step_count_max:
            raise LimitExceeded(f"The expression needs more than {self.limits.step_count_max} steps.")

    def check_time(self) -> None:
        """Start the clock on the first call, and raise LimitExceeded once time is over."""
        now = monotonic()
        if not self.deadline:
            self.deadline = now + self.limits.time_max_s
        elif now > self.deadline:
            raise LimitExceeded(f"The expression takes longer than {self.limits.time_max_s:g} seconds.")

    def check_size(self, size: int) -> None:
        """Raise LimitExceeded for a text or list that is too large."""
        if size > self.limits.size_max:
            most = f"the maximum allowed size of {self.limits.size_max} characters"
            raise LimitExceeded(f"The expression makes a value larger than {most}.")


class TextOutput:
    """Collects output as text; `empty` tells output that is only nulls from an empty text."""

    __slots__ = ("meter", "pieces", "size")

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.pieces: list[str] = []
        self.size = 0

    def write(self, value: Any) -> None:
        if value is None:
            return
        text = value if type(value) is str else text_of(value)
        self.pieces.append(text)
        self.size += len(text)
        if self.size > self.meter.limits.size_max:
            self.meter.check_size(self.size)

    @property
    def empty(self) -> bool:
        return not self.pieces

    def text(self) -> str:
        return "".join(self.pieces)


class TypedOutput:
    """Collects output as values, for renderings that keep the type of a lone expression."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: list[Any] = []

    def write(self, value: Any) -> None:
        if value is not None:
            self.values.append(value)


Output = TextOutput | TypedOutput
Evaluate = Callable[["Frame"], Any]
Execute = Callable[["Frame", Output], None]


class Frame:
    """One template at work on a context; macros get a frame of their own."""

    __slots__ = ("blocks", "context", "facts", "macros", "meter", "renderer", "template", "variables")

    def __init__(self, renderer: Renderer, template: str, context: Mapping[str, Any], meter: Meter) -> None:
        self.renderer = renderer
        self.template = template
        # What names in the template may reach, and what functions know: in a macro, names reach its arguments only.
        self.context = context
        self.facts = context
        self.meter = meter
        self.variables: dict[str, Any] = {}
        self.macros: Mapping[str, Any] = {}
        self.blocks: Mapping[str, Any] = {}

    def inner(self) -> Frame:
        """Return a frame whose names reach nothing of what is around; functions know as much as before."""
        frame = Frame(self.renderer, self.template, {}, self.meter)
        frame.facts = self.facts
        frame.macros = self.macros
        frame.blocks = self.blocks
        return frame

    def visible(self) -> Mapping[str, Any]:
        """Return what functions know and the set variables together."""
        return {**self.facts, **self.variables} if self.variables else self.facts


class Call:
    """What a filter, test or function sees of the evaluation that calls it."""

    __slots__ = ("at", "frame", "name")

    def __init__(self, name: str, frame: Frame, at: int) -> None:
        self.name = name
        self.frame = frame
        self.at = at

    @property
    def host(self) -> Host:
        return self.frame.renderer.host

    @property
    def meter(self) -> Meter:
        return self.frame.meter

    @property
    def is_second(self) -> bool:
        """Tell whether the 2.x dialect is spoken."""
        return self.frame.renderer.engine.dialect == "2.x"

    def variable(self, name: str) -> Any:
        """Return a variable, or None when it does not exist."""
        found = self.frame.variables.get(name)
        return self.frame.facts.get(name) if found is None else found

    def mapping(self, name: str) -> Mapping[str, Any]:
        """Return a variable that is a map, or an empty one."""
        value = self.variable(name)
        return value if is_map(value) else {}

    def fail(self, message: str) -> EvaluationFailed:
        """Build an error that names the place."""
        return EvaluationFailed(located(message, self.frame.template, self.at))

    def refuse(self, message: str) -> ArgumentRefused:
        """Build the refusal of an argument; its message stands alone."""
        return ArgumentRefused(message)

    def required(self, args: Mapping[str, Any], name: str) -> Any:
        """Return an argument that must be there."""
        if name not in args:
            raise self.fail(f"The '{self.name}' function expects an argument '{name}'.")
        return args[name]
