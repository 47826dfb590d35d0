"""
How a property is written: the base of everything that is read from a flow's text, and the marks on its fields.

A mark stands in `Annotated[T, MARK]`. The binder (`tiercel.flowspec.binder`) obeys them; `msgspec.Meta` bounds
(`ge`, `gt`, `le`, `min_length`, `max_length`, `pattern`) are obeyed too, patterns on the whole text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec


class Node(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of everything that is read from a flow's text: JSON names in camel case, unknown fields are a problem."""


def is_expression(text: str) -> bool:
    """Tell whether a text holds an expression or a statement of the template language."""
    return "{{" in text or "{%" in text


class Dynamic:
    """The property may hold an expression instead of a value of its type; it keeps what the author wrote."""


class NotEmpty:
    """
    The list, map or text must be there and hold something; `message` says so.

    A `newer` mark stands on what may be left out, and is a rule of newer versions of the language only.
    """

    __slots__ = ("message", "newer")

    def __init__(self, message: str = "must not be empty", *, newer: bool = False) -> None:
        self.message = message
        self.newer = newer


class NotBlank:
    """The text must hold more than white space."""


class Aliases:
    """Older names of the property; with `deprecated` their use is reported, `removed` ones are gone in 2.0."""

    __slots__ = ("deprecated", "names", "removed")

    def __init__(self, *names: str, deprecated: bool = False, removed: bool = False) -> None:
        self.names = names
        self.deprecated = deprecated
        self.removed = removed


class Deprecated:
    """The property still works, its use is reported."""


class Removed:
    """The property is gone in 2.0: a flow that uses it is of the 1.x dialect."""


class Internal:
    """The field is ours: no author writes it."""


class Labels:
    """Labels: a map, or a list of `{key, value}`; both become a map of texts. Names of the system are refused."""

    __slots__ = ("system_allowed",)

    def __init__(self, *system_allowed: str) -> None:
        self.system_allowed = frozenset(system_allowed)


class JsonText:
    """The text must be JSON, where it is no expression."""


class Written:
    """A text that is no expression must be written so that `problem` has nothing to say of it."""

    __slots__ = ("problem",)

    def __init__(self, problem: Callable[[str], str | None]) -> None:
        self.problem = problem


class DateFormat:
    """The text must be a format of dates or times such as `yyyy-MM-dd`, where it is no expression."""


def constant(value: object) -> str | None:
    """Return a text that holds no part of the template language; None for anything else."""
    return value if isinstance(value, str) and not any(mark in value for mark in _TEMPLATE) else None


_TEMPLATE: Final = ("{{", "{%", "{#")

DYNAMIC: Final = Dynamic()
NOT_EMPTY: Final = NotEmpty()
NOT_BLANK: Final = NotBlank()
DEPRECATED: Final = Deprecated()
REMOVED: Final = Removed()
INTERNAL: Final = Internal()
LABELS: Final = Labels()
JSON_TEXT: Final = JsonText()
DATE_FORMAT: Final = DateFormat()
