"""
The ways an expression can fail, all of them for its author to mend.

`Undefined` is apart because `??`, `???` and `is defined` must tell a missing name from any other failure.
`ArgumentRefused` is apart because Kestra shows such a refusal word by word, without the place.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from tiercel.errors import ExpressionError

# Longer expressions are cut in messages: the message goes to a log line, the flow keeps the whole text.
EXPRESSION_SHOWN_MAX = 200
# A message quotes values; more of them than this helps nobody, and the place at its end must stay readable.
MESSAGE_MAX = 4000
# Enough of the end for the place: the expression as it is shown, and its line.
_MESSAGE_END = 500

# What a filter or function of this package may raise on values it cannot handle. Anything else, such as the
# signal of a host that a fact is missing, passes through untouched.
VALUE_FAILURES = (ValueError, TypeError, KeyError, IndexError, ArithmeticError, OSError)


class ParseFailed(ExpressionError):
    """The text is not a valid template."""


class EvaluationFailed(ExpressionError):
    """The template is valid but cannot be evaluated with this context; of a long message the middle is left out."""

    def __init__(self, message: str) -> None:
        if len(message) > MESSAGE_MAX:
            message = f"{message[: MESSAGE_MAX - _MESSAGE_END]} … {message[-_MESSAGE_END:]}"
        super().__init__(message)


class LimitExceeded(EvaluationFailed):
    """The evaluation needs more depth, output, steps or time than is allowed."""


class Undefined(EvaluationFailed):
    """A variable or an attribute does not exist."""


class ArgumentRefused(EvaluationFailed):
    """An argument is well-formed but not allowed."""


def shown(template: str) -> str:
    """Return the template as messages show it."""
    return template if len(template) <= EXPRESSION_SHOWN_MAX else template[:EXPRESSION_SHOWN_MAX] + "…"


def line_of(template: str, at: int) -> int:
    """Return the line, from 1, on which a position lies."""
    return template.count("\n", 0, at) + 1


def located(message: str, template: str, at: int) -> str:
    """Append the place to a message, as in `message (expression:line)`."""
    return f"{message} ({shown(template)}:{line_of(template, at)})"


def undefined(name: str, template: str, at: int, known: Iterable[object] = ()) -> Undefined:
    """Build the error of a missing name, with the nearest known one as a hint."""
    message = f"Unable to find `{name}` used in the expression `{shown(template)}` at line {line_of(template, at)}"
    nearest = get_close_matches(name, [text for text in known if isinstance(text, str)], n=1)
    return Undefined(f"{message}. Did you mean `{nearest[0]}`?" if nearest else message)
