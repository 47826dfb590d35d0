"""
A whole template, compiled: the tags become closures that write to an output.

Macros and blocks are collected first, so that they can be called before the place where they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tiercel.expression import compiler, nodes
from tiercel.expression.failure import EvaluationFailed, located
from tiercel.expression.operators import condition_holds
from tiercel.expression.printing import java_text
from tiercel.expression.runtime import Execute, Frame, Output, TextOutput
from tiercel.expression.statements import parse
from tiercel.expression.values import Long, MapEntry, is_map, is_sequence


class Program:
    """A compiled template; it holds no state of its evaluations."""

    __slots__ = ("blocks", "macros", "run", "text")

    def __init__(self, text: str, run: Execute, macros: Mapping[str, Any], blocks: Mapping[str, Any]) -> None:
        self.text = text
        self.run = run
        self.macros = macros
        self.blocks = blocks


def compiled(text: str) -> Program:
    """Parse and compile a text, or raise ParseFailed."""
    template = parse(text)
    macros: dict[str, _Macro] = {}
    blocks: dict[str, Callable[[Frame], str]] = {}
    for statement in _walk(template.body):
        if isinstance(statement, nodes.Macro):
            macros[statement.name] = _Macro(statement)
        elif isinstance(statement, nodes.Block):
            blocks[statement.name] = _captured(_body(statement.body))
    return Program(text, _body(template.body), macros, blocks)


def _walk(body: nodes.Body) -> Iterator[nodes.Statement]:
    for statement in body:
        yield statement
        match statement:
            case nodes.If():
                for _, branch in statement.branches:
                    yield from _walk(branch)
                yield from _walk(statement.otherwise)
            case nodes.For():
                yield from _walk(statement.body)
                yield from _walk(statement.otherwise)
            case nodes.Macro() | nodes.Block() | nodes.FilterBlock():
                yield from _walk(statement.body)
            case _:
                pass


class _Macro:
    """A macro: it sees its arguments only, neither the context nor the variables set around it."""

    __slots__ = ("body", "defaults", "parameters")

    def __init__(self, node: nodes.Macro) -> None:
        self.parameters = tuple(name for name, _ in node.parameters)
        self.defaults = [(name, compiler.expression(default)) for name, default in node.parameters if default]
        self.body = _captured(_body(node.body))

    def __call__(self, args: Mapping[str, Any], frame: Frame) -> str:
        frame.meter.step()
        inner = frame.inner()
        inner.variables = dict.fromkeys(self.parameters)
        inner.variables.update((name, default(inner)) for name, default in self.defaults if name not in args)
        inner.variables.update(args)
        return self.body(inner)


def _captured(body: Execute) -> Callable[[Frame], str]:
    def capture(frame: Frame) -> str:
        output = TextOutput(frame.meter)
        body(frame, output)
        return output.text()

    return capture


def _body(body: nodes.Body) -> Execute:
    steps = [_statement(statement) for statement in body if not isinstance(statement, nodes.Macro)]
    if len(steps) == 1:
        return steps[0]

    def execute(frame: Frame, output: Output) -> None:
        for step in steps:
            step(frame, output)

    return execute


def _statement(node: nodes.Statement) -> Execute:
    match node:
        case nodes.Text():
            text = node.text
            return lambda frame, output: output.write(text)
        case nodes.Print():
            value = compiler.expression(node.expression)
            return lambda frame, output: output.write(value(frame))
        case nodes.If():
            return _if(node)
        case nodes.For():
            return _for(node)
        case nodes.Assign():
            return _assign(node)
        case nodes.Block():
            return _body(node.body)
        case nodes.FilterBlock():
            return _filter(node)
        case _:
            raise AssertionError(f"{type(node).__name__} is not compiled")


def _if(node: nodes.If) -> Execute:
    branches = [(compiler.expression(condition), _body(body)) for condition, body in node.branches]
    otherwise, at = _body(node.otherwise), node.at

    def execute(frame: Frame, output: Output) -> None:
        for condition, body in branches:
            try:
                holds = condition_holds(condition(frame))
            except TypeError as error:
                raise EvaluationFailed(located(f"{error}.", frame.template, at)) from error
            if holds:
                body(frame, output)
                return
        otherwise(frame, output)

    return execute


def _for(node: nodes.For) -> Execute:
    iterable, body, otherwise = compiler.expression(node.iterable), _body(node.body), _body(node.otherwise)
    variable, at = node.variable, node.at

    def execute(frame: Frame, output: Output) -> None:
        value = iterable(frame)
        if value is None:
            return
        items = _items(value, frame, at)
        if not items:
            otherwise(frame, output)
            return
        variables = frame.variables
        hidden = {name: variables[name] for name in (variable, "loop") if name in variables}
        outer = frozenset(variables)
        count = len(items)
        for index, item in enumerate(items):
            frame.meter.step()
            variables[variable] = item
            variables["loop"] = _loop(index, count)
            body(frame, output)
        # What is set for the first time within a loop belongs to the loop.
        own = [name for name in variables if name not in outer and name not in frame.context]
        for name in {*own, variable, "loop"}:
            variables.pop(name, None)
        variables.update(hidden)

    return execute


def _items(value: Any, frame: Frame, at: int) -> Sequence[Any]:
    if is_map(value):
        return [MapEntry(key=key, value=item) for key, item in value.items()]
    if is_sequence(value):
        return list(value)
    raise EvaluationFailed(located(f"Not an iterable object. Value = [{java_text(value)}]", frame.template, at))


def _loop(index: int, count: int) -> dict[str, Any]:
    return {
        "index": Long(index),
        "length": Long(count),
        "first": index == 0,
        "last": index == count - 1,
        "revindex": Long(count - index - 1),
    }


def _assign(node: nodes.Assign) -> Execute:
    value, name = compiler.expression(node.expression), node.name

    def execute(frame: Frame, output: Output) -> None:
        frame.variables[name] = value(frame)

    return execute


def _filter(node: nodes.FilterBlock) -> Execute:
    value: Callable[[Frame], Any] = _captured(_body(node.body))
    for name, arguments, at in node.filters:
        value = compiler.filtered(value, name, arguments, at)

    def execute(frame: Frame, output: Output) -> None:
        output.write(value(frame))

    return execute
