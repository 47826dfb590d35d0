"""
Turns expressions into closures, so that the tree is walked once per distinct text and not per evaluation.

The common case, a path of constant names below a variable, has a closure of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiercel.expression import methods, nodes, operators
from tiercel.expression.failure import EvaluationFailed, Undefined, located, undefined
from tiercel.expression.printing import java_text
from tiercel.expression.runtime import Call, Evaluate, Frame, Meter
from tiercel.expression.signature import bind, guarded
from tiercel.expression.values import is_map, is_sequence


def expression(node: nodes.Expression) -> Evaluate:
    """Compile an expression to a function of the frame."""
    match node:
        case nodes.Literal():
            value = node.value
            return lambda frame: value
        case nodes.Name():
            return _name(node)
        case nodes.Attribute():
            return _attribute(node)
        case nodes.Call():
            return _call(node)
        case nodes.MethodCall():
            return _method(node)
        case nodes.Filtered():
            return filtered(expression(node.of), node.name, node.arguments, node.at)
        case nodes.Tested():
            return _tested(node)
        case nodes.Unary():
            return _unary(node)
        case nodes.Binary():
            return _binary(node)
        case nodes.Joined():
            return _joined(node)
        case nodes.Ternary():
            return _ternary(node)
        case nodes.ListLiteral():
            items = [expression(item) for item in node.items]
            return lambda frame: [item(frame) for item in items]
        case nodes.MapLiteral():
            pairs = [(expression(key), expression(value)) for key, value in node.pairs]
            return lambda frame: {_map_key(key(frame)): value(frame) for key, value in pairs}
        case _:
            raise AssertionError(f"{type(node).__name__} is not compiled")


def _map_key(key: Any) -> str:
    return key if type(key) is str else java_text(key)


def _name(node: nodes.Name) -> Evaluate:
    name, at = node.name, node.at

    def evaluate(frame: Frame) -> Any:
        if name in frame.variables:
            return frame.variables[name]
        if name in frame.context:
            return frame.context[name]
        if name == nodes.CONTEXT:
            return {**frame.context, **frame.variables}
        raise undefined(name, frame.template, at, [*frame.context, *frame.variables])

    return evaluate


def _attribute(node: nodes.Attribute) -> Evaluate:
    path: list[tuple[str, int]] = []
    of: nodes.Expression = node
    while isinstance(of, nodes.Attribute) and isinstance(of.key, nodes.Literal) and type(of.key.value) is str:
        path.append((of.key.value, of.at))
        of = of.of
    if not path:
        return _computed_attribute(node)
    path.reverse()
    root, steps, root_name = expression(of), tuple(path), _name_of(of)

    def evaluate(frame: Frame) -> Any:
        value = root(frame)
        name = root_name
        for key, at in steps:
            is_entry = type(value) is dict and key in value
            value = value[key] if is_entry else attribute(value, key, name, frame, at)
            name = key
        return value

    return evaluate


def _computed_attribute(node: nodes.Attribute) -> Evaluate:
    of, key, name, at = expression(node.of), expression(node.key), _name_of(node.of), node.at
    return lambda frame: attribute(of(frame), key(frame), name, frame, at)


def _name_of(node: nodes.Expression) -> str:
    return node.name if isinstance(node, nodes.Name) else ""


def attribute(of: Any, key: Any, name: str, frame: Frame, at: int) -> Any:
    """Return an entry of a map, an item of a list, or what a getter of a text or list tells."""
    if of is None:
        raise undefined(name or java_text(key), frame.template, at)
    if is_map(of):
        if isinstance(key, (str, int)) and key in of:
            return of[key]
        text = java_text(key)
        if text in of:
            return of[text]
        raise undefined(text, frame.template, at, of)
    if is_sequence(of):
        items = of if isinstance(of, (list, tuple)) else list(of)
        index = _index(key)
        if index is not None and 0 <= index < len(items):
            return items[index]
    getter = methods.getter(of, key) if isinstance(key, str) else None
    if getter is None:
        raise undefined(java_text(key), frame.template, at)
    call = Call(key, frame, at)
    return guarded(call, lambda: methods.called(of, key, getter, (), call))


def _index(key: Any) -> int | None:
    if isinstance(key, int) and not isinstance(key, bool):
        return int(key)
    return int(key) if isinstance(key, str) and key.isascii() and key.isdigit() and len(key) < 10 else None


def _call(node: nodes.Call) -> Evaluate:
    name, at = node.name, node.at
    positional = [expression(item) for item in node.arguments.positional]
    named = [(key, expression(item)) for key, item in node.arguments.named]

    def evaluate(frame: Frame) -> Any:
        call = Call(name, frame, at)
        macro = frame.macros.get(name)
        if macro is not None:
            return macro(bind(macro.parameters, positional, named, frame, call), frame)
        if name == "block" and len(positional) == 1:
            return _block(positional[0](frame), frame, call)
        function = frame.renderer.engine.functions.get(name)
        if function is None:
            raise call.fail(f"Function or Macro [{name}] does not exist.")
        names = {} if call.is_second else function.formerly
        called = [(names.get(key, key), value) for key, value in named] if names else named
        args = bind(function.parameters, positional, called, frame, call)
        return guarded(call, lambda: function.apply(args, call))

    return evaluate


def _block(name: Any, frame: Frame, call: Call) -> str:
    block = frame.blocks.get(name) if isinstance(name, str) else None
    if block is None:
        raise call.fail(f"The block [{java_text(name)}] does not exist.")
    return str(block(frame))


def _method(node: nodes.MethodCall) -> Evaluate:
    of, name, of_name, at = expression(node.of), node.name, _name_of(node.of), node.at
    positional = [expression(item) for item in node.arguments.positional]

    def evaluate(frame: Frame) -> Any:
        value = of(frame)
        if value is None:
            raise undefined(of_name or name, frame.template, at)
        method = methods.of(value, name)
        if method is None:
            raise undefined(name, frame.template, at)
        call = Call(name, frame, at)
        args = [item(frame) for item in positional]
        return guarded(call, lambda: methods.called(value, name, method, args, call))

    return evaluate


def filtered(of: Evaluate, name: str, arguments: nodes.Arguments, at: int) -> Evaluate:
    """Compile a filter over something that is already compiled."""
    positional = [expression(item) for item in arguments.positional]
    named = [(key, expression(item)) for key, item in arguments.named]

    def evaluate(frame: Frame) -> Any:
        call = Call(name, frame, at)
        found = frame.renderer.engine.filters.get(name)
        if found is None:
            raise call.fail(f"Filter [{name}] does not exist.")
        value = _value_or_none(of, frame) if name == "default" else of(frame)
        args = bind(found.parameters, positional, named, frame, call)
        return guarded(call, lambda: found.apply(value, args, call))

    return evaluate


def _value_or_none(of: Evaluate, frame: Frame) -> Any:
    try:
        return of(frame)
    except Undefined:
        return None


def _tested(node: nodes.Tested) -> Evaluate:
    of, name, at, negated = expression(node.of), node.name, node.at, node.negated
    positional = [expression(item) for item in node.arguments.positional]
    named = [(key, expression(item)) for key, item in node.arguments.named]
    if name == "defined":
        return lambda frame: (_value_or_none(of, frame) is not None) is not negated

    def evaluate(frame: Frame) -> Any:
        call = Call(name, frame, at)
        test = frame.renderer.engine.tests.get(name)
        if test is None:
            raise call.fail(f"Test [{name}] does not exist.")
        value = of(frame)
        args = bind(test.parameters, positional, named, frame, call)
        return bool(guarded(call, lambda: test.apply(value, args, call))) is not negated

    return evaluate


def _unary(node: nodes.Unary) -> Evaluate:
    of, at = expression(node.of), node.at
    if node.operator == "not":
        return lambda frame: not _condition(of, frame, at)
    action = operators.negative if node.operator == "-" else operators.positive
    return lambda frame: _attempt(lambda: action(of(frame)), frame, at)


def _attempt(action: Callable[[], Any], frame: Frame, at: int) -> Any:
    try:
        return action()
    except (TypeError, ValueError, ArithmeticError) as error:
        raise EvaluationFailed(located(f"{error}.", frame.template, at)) from error


def _condition(of: Evaluate, frame: Frame, at: int) -> bool:
    value = of(frame)
    if value is True or value is False:
        return bool(value)
    return bool(_attempt(lambda: operators.condition_holds(value), frame, at))


_SIMPLE: dict[str, Callable[[Any, Any, Meter], Any]] = {
    "+": operators.add,
    "-": operators.subtract,
    "*": lambda left, right, meter: operators.multiply(left, right),
    "/": lambda left, right, meter: operators.divide(left, right),
    "%": lambda left, right, meter: operators.modulo(left, right),
    "==": lambda left, right, meter: operators.equal(left, right),
    "equals": lambda left, right, meter: operators.equal(left, right),
    "!=": lambda left, right, meter: not operators.equal(left, right),
    ">": lambda left, right, meter: operators.compare(">", left, right),
    "<": lambda left, right, meter: operators.compare("<", left, right),
    ">=": lambda left, right, meter: operators.compare(">=", left, right),
    "<=": lambda left, right, meter: operators.compare("<=", left, right),
    "contains": operators.contains,
    "matches": lambda left, right, meter: operators.matches(left, right),
    "isIn": lambda left, right, meter: operators.is_in(left, right),
    "isNotIn": lambda left, right, meter: not operators.is_in(left, right),
    "..": lambda left, right, meter: _span(left, right, meter),
}


def _span(left: Any, right: Any, meter: Meter) -> list[Any]:
    meter.check_time()
    return operators.span(left, right)


def _binary(node: nodes.Binary) -> Evaluate:
    left, right, at, operator = expression(node.left), expression(node.right), node.at, node.operator
    match operator:
        case "and":
            return lambda frame: _condition(left, frame, at) and _condition(right, frame, at)
        case "or":
            return lambda frame: _condition(left, frame, at) or _condition(right, frame, at)
        case "??":
            return _null_coalescing(left, right)
        case "???":
            return _undefined_coalescing(left, right)
        case _:
            action = _SIMPLE[operator]

    def evaluate(frame: Frame) -> Any:
        frame.meter.step()
        first, second = left(frame), right(frame)
        try:
            return action(first, second, frame.meter)
        except (TypeError, ValueError, ArithmeticError, TimeoutError) as error:
            raise EvaluationFailed(located(f"{error}.", frame.template, at)) from error

    return evaluate


def _null_coalescing(left: Evaluate, right: Evaluate) -> Evaluate:
    def evaluate(frame: Frame) -> Any:
        value = _value_or_none(left, frame)
        return right(frame) if value is None else value

    return evaluate


def _undefined_coalescing(left: Evaluate, right: Evaluate) -> Evaluate:
    def evaluate(frame: Frame) -> Any:
        try:
            return left(frame)
        except Undefined:
            return right(frame)

    return evaluate


def _joined(node: nodes.Joined) -> Evaluate:
    parts = [expression(part) for part in node.parts]

    def evaluate(frame: Frame) -> str:
        texts = [java_text(value) for value in (part(frame) for part in parts) if value is not None]
        frame.meter.check_size(sum(map(len, texts)))
        return "".join(texts)

    return evaluate


def _ternary(node: nodes.Ternary) -> Evaluate:
    condition, yes, no, at = expression(node.condition), expression(node.yes), expression(node.no), node.at
    return lambda frame: yes(frame) if _condition(condition, frame, at) else no(frame)
