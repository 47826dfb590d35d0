"""
The syntax tree of a template.

Nodes are plain frozen values: the compiler turns them into closures, the analysis walks them. `at` is the position
in the text, from which messages compute the line.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

CONTEXT: Final = "_context"
"""The variable that holds all others; a macro, which sees its arguments only, may be given it."""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a template at a place."""

    at: int


class Expression(Node, frozen=True, kw_only=True):
    """A node that has a value."""


class Literal(Expression, frozen=True, kw_only=True):
    """A text, number, boolean or null."""

    value: Any


class Name(Expression, frozen=True, kw_only=True):
    """A variable of the context."""

    name: str


class Attribute(Expression, frozen=True, kw_only=True):
    """`of.key` or `of[key]`."""

    of: Expression
    key: Expression


class Arguments(msgspec.Struct, frozen=True, kw_only=True):
    """What stands between the parentheses of a call."""

    positional: tuple[Expression, ...] = ()
    named: tuple[tuple[str, Expression], ...] = ()


class Call(Expression, frozen=True, kw_only=True):
    """`name(…)`: a function or a macro."""

    name: str
    arguments: Arguments


class MethodCall(Expression, frozen=True, kw_only=True):
    """`of.name(…)`."""

    of: Expression
    name: str
    arguments: Arguments


class Filtered(Expression, frozen=True, kw_only=True):
    """`of | name(…)`."""

    of: Expression
    name: str
    arguments: Arguments


class Tested(Expression, frozen=True, kw_only=True):
    """`of is name(…)` or `of is not name(…)`."""

    of: Expression
    name: str
    arguments: Arguments
    negated: bool


class Unary(Expression, frozen=True, kw_only=True):
    """`not of`, `-of`, `+of`."""

    operator: str
    of: Expression


class Binary(Expression, frozen=True, kw_only=True):
    """`left operator right`."""

    operator: str
    left: Expression
    right: Expression


class Joined(Expression, frozen=True, kw_only=True):
    """`a ~ b ~ c`, or a text that holds `#{…}`; flat, since such chains grow long."""

    parts: tuple[Expression, ...]


class Ternary(Expression, frozen=True, kw_only=True):
    """`condition ? yes : no`."""

    condition: Expression
    yes: Expression
    no: Expression


class ListLiteral(Expression, frozen=True, kw_only=True):
    """`[a, b]`."""

    items: tuple[Expression, ...]


class MapLiteral(Expression, frozen=True, kw_only=True):
    """`{key: value}`."""

    pairs: tuple[tuple[Expression, Expression], ...]


class Statement(Node, frozen=True, kw_only=True):
    """A node that writes output or changes variables."""


Body = tuple[Statement, ...]


class Text(Statement, frozen=True, kw_only=True):
    """Text outside of all delimiters."""

    text: str


class Print(Statement, frozen=True, kw_only=True):
    """`{{ expression }}`."""

    expression: Expression


class If(Statement, frozen=True, kw_only=True):
    """`{% if %}`, with its `elseif` branches and `else`."""

    branches: tuple[tuple[Expression, Body], ...]
    otherwise: Body = ()


class For(Statement, frozen=True, kw_only=True):
    """`{% for variable in iterable %}`, with `else` for an empty one."""

    variable: str
    iterable: Expression
    body: Body
    otherwise: Body = ()


class Assign(Statement, frozen=True, kw_only=True):
    """`{% set name = expression %}`."""

    name: str
    expression: Expression


class Macro(Statement, frozen=True, kw_only=True):
    """`{% macro name(parameter=default) %}`; it writes nothing where it stands."""

    name: str
    parameters: tuple[tuple[str, Expression | None], ...]
    body: Body


class Block(Statement, frozen=True, kw_only=True):
    """`{% block name %}`; it writes its body where it stands, and again for each `block(name)`."""

    name: str
    body: Body


class FilterBlock(Statement, frozen=True, kw_only=True):
    """`{% filter a | b %}`: the filters, in order, over the output of the body."""

    filters: tuple[tuple[str, Arguments, int], ...]
    body: Body


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed text."""

    text: str
    body: Body
