"""
Every error that Tiercel raises on purpose, in one tree, branched by who must act.

    TiercelError
    ├── FlowAuthorError          the author of the flow must change it
    │   ├── InvalidFlow          the text does not describe a valid flow (holds all problems)
    │   ├── InvalidInput         an input's value is missing or of a wrong type (holds all problems)
    │   ├── ExpressionError      an expression cannot be parsed or evaluated
    │   └── TaskFailed           a task ends FAILED, possibly with outputs
    ├── CallerError              who calls the API must change the request
    │   ├── NotFound
    │   ├── Conflict             the thing exists, but its state does not allow this
    │   └── Refused              the request itself is wrong
    ├── OperatorError            who runs Tiercel must act
    │   ├── InvalidSettings
    │   └── Unavailable          a backend cannot be reached now; callers wait and try again
    └── InternalError            a bug of ours
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class TiercelError(Exception):
    """Root of all errors that are raised on purpose."""


class FlowAuthorError(TiercelError):
    """The author of the flow must change it."""


class Problem:
    """One thing that is wrong with a flow or an input: where, what, and what is allowed."""

    __slots__ = ("column", "line", "message", "path")

    def __init__(self, path: str, message: str, line: int | None = None, column: int | None = None) -> None:
        self.path = path
        self.message = message
        self.line = line
        self.column = column

    @property
    def sentence(self) -> str:
        """The path and what is wrong there, without the place in the text."""
        return f"{self.path}: {self.message}" if self.path else self.message

    def __str__(self) -> str:
        where = f" (line {self.line}, column {self.column})" if self.line is not None else ""
        return f"{self.sentence}{where}"


class InvalidFlow(FlowAuthorError):
    """The text does not describe a valid flow; `problems` holds every problem found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class InvalidInput(FlowAuthorError):
    """One or more inputs are missing or wrong; `problems` holds every problem found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(problem.message for problem in problems))
        self.problems = tuple(problems)


class ExpressionError(FlowAuthorError):
    """An expression cannot be parsed or evaluated."""


class TaskFailed(FlowAuthorError):
    """A task ends FAILED with this message; `outputs` are kept."""

    def __init__(self, message: str, outputs: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.outputs = outputs


class CallerError(TiercelError):
    """Who calls the API must change the request."""


class NotFound(CallerError):
    """What the request names does not exist."""


class Conflict(CallerError):
    """What the request names exists, but its state does not allow this."""


class Refused(CallerError):
    """The request itself is wrong."""


class OperatorError(TiercelError):
    """Who runs Tiercel must act."""


class InvalidSettings(OperatorError):
    """A setting is missing or wrong; the message names all of them."""


class Unavailable(OperatorError):
    """A backend cannot be reached now; callers wait and try again."""


class InternalError(TiercelError):
    """A bug of Tiercel's own."""
