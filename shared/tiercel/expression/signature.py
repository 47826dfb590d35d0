"""
What can be called from an expression: filters, tests and functions, with the names of their arguments.

The names give positional arguments their place, reject unknown ones, and are what editors complete.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tiercel.errors import ExpressionError
from tiercel.expression.failure import VALUE_FAILURES, EvaluationFailed, LimitExceeded
from tiercel.expression.runtime import Call, Evaluate, Frame

Args = Mapping[str, Any]
FilterBody = Callable[[Any, Args, Call], Any]
FunctionBody = Callable[[Args, Call], Any]


class Filter(msgspec.Struct, frozen=True):
    """A filter or a test: what it does with a value, and its arguments in order."""

    apply: FilterBody
    parameters: tuple[str, ...] = ()


class Function(msgspec.Struct, frozen=True):
    """
    A function; without `parameters` it takes any number of positional arguments, named "0", "1", …

    `formerly` has other names of arguments that the first dialect understands; they are shown nowhere.
    """

    apply: FunctionBody
    parameters: tuple[str, ...] | None = ()
    formerly: Mapping[str, str] = {}


def bind(
    parameters: Sequence[str] | None,
    positional: Sequence[Evaluate],
    named: Sequence[tuple[str, Evaluate]],
    frame: Frame,
    call: Call,
) -> dict[str, Any]:
    """Evaluate arguments and give each its name."""
    args: dict[str, Any] = {}
    if positional:
        if parameters is None:
            return {str(index): evaluate(frame) for index, evaluate in enumerate(positional)}
        if len(positional) > len(parameters):
            raise call.fail(f"'{call.name}' takes at most {len(parameters)} arguments, but got {len(positional)}.")
        for name, evaluate in zip(parameters, positional, strict=False):
            args[name] = evaluate(frame)
    for name, evaluate in named:
        if parameters is not None and name not in parameters:
            raise call.fail(f"The following named argument does not exist: {name}")
        args[name] = evaluate(frame)
    return args


def guarded(call: Call, action: Callable[[], Any]) -> Any:
    """Run a filter or function; give what it cannot handle a message with the place."""
    call.meter.step()
    call.meter.check_time()
    try:
        value = action()
    except (ExpressionError, EvaluationFailed):
        raise
    except RecursionError as error:
        raise LimitExceeded(f"'{call.name}' is applied to values that are nested too deeply.") from error
    except VALUE_FAILURES as error:
        raise call.fail(f"'{call.name}' failed: {_reason(error)}") from error
    if isinstance(value, (str, list)):
        call.meter.check_size(len(value))
    return value


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return f"the key {error} does not exist."
    if isinstance(error, UnicodeEncodeError):
        return "the text holds half of a surrogate pair, which cannot be written as UTF-8."
    return str(error) or type(error).__name__
