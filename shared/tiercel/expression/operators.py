"""
The operators, with Java's rules for numbers.

Two whole numbers give a whole number (division cuts off, sums wrap at 64 bits), a Double makes all Double, a
BigDecimal makes all BigDecimal. Numbers are equal when their values are; anything else only to its like.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from decimal import Context, Decimal, DecimalException
from typing import Any

from tiercel.expression import java_regex
from tiercel.expression.printing import java_text, weigh
from tiercel.expression.runtime import Meter
from tiercel.expression.values import Float32, Long, is_map, is_number, is_sequence, whole

# Java's MathContext.DECIMAL128; it also keeps sums of far apart exponents small.
DECIMAL128 = Context(prec=34)
RANGE_SIZE_MAX = 1_000_000
"""Values of one range: as a list they must fit into memory."""


def add(left: Any, right: Any, meter: Meter) -> Any:
    """Add numbers, join texts, or append to a list."""
    if isinstance(left, str) or isinstance(right, str):
        first, second = java_text(left), java_text(right)
        meter.check_size(len(first) + len(second))
        return first + second
    if isinstance(left, list):
        joined = [*left, *right] if is_sequence(right) else [*left, right]
        meter.check_size(len(joined))
        return joined
    return _arithmetic("+", left, right)


def subtract(left: Any, right: Any, meter: Meter) -> Any:
    """Subtract numbers, or remove from a list."""
    if isinstance(left, list):
        if is_sequence(right):
            return [item for item in left if not holds(right, item, meter)]
        rest = list(left)
        for index, item in enumerate(left):
            if equal(item, right):
                del rest[index]
                break
        return rest
    return _arithmetic("-", left, right)


def multiply(left: Any, right: Any) -> Any:
    """Multiply numbers."""
    return _arithmetic("*", left, right)


def divide(left: Any, right: Any) -> Any:
    """Divide numbers; whole numbers give a whole number."""
    return _arithmetic("/", left, right)


def modulo(left: Any, right: Any) -> Any:
    """Return the rest of a division, with the sign of the dividend."""
    return _arithmetic("%", left, right)


def _arithmetic(sign: str, left: Any, right: Any) -> Any:
    if not is_number(left) or not is_number(right):
        raise TypeError(f"invalid operands for mathematical operation [{sign}]")
    if isinstance(left, Decimal) or isinstance(right, Decimal):
        return _decimal(sign, _as_decimal(left), _as_decimal(right))
    if isinstance(left, float) or isinstance(right, float):
        value = _double(sign, float(left), float(right))
        is_single = all(isinstance(side, Float32) or not isinstance(side, float) for side in (left, right))
        return Float32(value) if is_single else value
    return _long(sign, int(left), int(right))


def _long(sign: str, left: int, right: int) -> Long:
    if sign == "+":
        return Long.wrap(left + right)
    if sign == "-":
        return Long.wrap(left - right)
    if sign == "*":
        return Long.wrap(left * right)
    if right == 0:
        raise ZeroDivisionError("/ by zero")
    quotient = abs(left) // abs(right)
    if (left < 0) != (right < 0):
        quotient = -quotient
    return Long.wrap(quotient if sign == "/" else left - quotient * right)


def _double(sign: str, left: float, right: float) -> float:
    if sign == "+":
        return left + right
    if sign == "-":
        return left - right
    if sign == "*":
        return left * right
    if right == 0:
        if sign == "%" or left == 0 or left != left:
            return math.nan
        return math.copysign(math.inf, left) * math.copysign(1.0, right)
    if sign == "/":
        return left / right
    return math.nan if math.isinf(left) else math.fmod(left, right)


def _as_decimal(value: Any) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(repr(float(value)))


def _decimal(sign: str, left: Decimal, right: Decimal) -> Decimal:
    context = DECIMAL128
    operations: dict[str, Callable[[Decimal, Decimal], Decimal]] = {
        "+": context.add,
        "-": context.subtract,
        "*": context.multiply,
        "/": context.divide,
        "%": context.remainder,
    }
    try:
        return operations[sign](left, right)
    except DecimalException as error:
        # Its own text is the name of a class.
        raise ArithmeticError(f"{left} {sign} {right} cannot be computed with {DECIMAL128.prec} digits") from error


def negative(value: Any) -> Any:
    """Return the number with the other sign."""
    return _arithmetic("*", Long(-1), value)


def positive(value: Any) -> Any:
    """Return the number; raise TypeError for anything else."""
    return _arithmetic("*", Long(1), value)


def equal(left: Any, right: Any) -> bool:
    """Tell whether two values are equal; a boolean is never equal to a number, nor a number to a text."""
    if is_number(left) and is_number(right):
        return float(left) == float(right)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, str) or isinstance(right, str):
        return bool(left == right)
    weigh(left)
    weigh(right)
    return bool(left == right)


def compare(sign: str, left: Any, right: Any) -> bool:
    """Compare two numbers or two texts; null compares to nothing."""
    if isinstance(left, str) and isinstance(right, str):
        return _ordered(sign, left, right)
    if left is None or right is None:
        return False
    if not is_number(left) or not is_number(right):
        raise TypeError(f"invalid operands for mathematical comparison [{sign}]")
    return _ordered(sign, float(left), float(right))


def _ordered(sign: str, left: Any, right: Any) -> bool:
    if sign == ">":
        return bool(left > right)
    if sign == "<":
        return bool(left < right)
    return bool(left >= right) if sign == ">=" else bool(left <= right)


def contains(container: Any, wanted: Any, meter: Meter) -> bool:
    """Tell whether a list holds a value (or all of a list), a map a key, a text a text."""
    if container is None:
        return False
    if is_map(container):
        return wanted in container if isinstance(wanted, str) else java_text(wanted) in container
    if is_sequence(container):
        items = wanted if is_sequence(wanted) else (wanted,)
        return all(holds(container, item, meter) for item in items)
    if isinstance(container, str):
        return java_text(wanted) in container
    raise TypeError("the contains operator can only be used on lists, maps and texts")


def holds(items: Iterable[Any], wanted: Any, meter: Meter) -> bool:
    """Tell whether one of the items equals a value; each comparison is a step of the evaluation."""
    for item in items:
        meter.step()
        if equal(item, wanted):
            return True
    return False


def is_in(wanted: Any, container: Any) -> bool:
    """Tell whether a value is in a list, or a key or value of a map; all compared as texts."""
    if wanted is None or container is None:
        return False
    text = java_text(wanted)
    if is_map(container):
        return any(text in (java_text(key), java_text(item)) for key, item in container.items())
    return is_sequence(container) and any(java_text(item) == text for item in container)


def matches(value: Any, pattern: Any) -> bool:
    """Tell whether the whole text matches a regular expression."""
    if value is None or pattern is None:
        return False
    return java_regex.full_match(java_text(pattern), java_text(value))


def span(start: Any, end: Any, step: Any = 1) -> list[Any]:
    """Return the values from start to end, both included; of numbers or of single letters."""
    if isinstance(start, str) and isinstance(end, str):
        if len(start) != 1 or len(end) != 1:
            raise ValueError("a range goes from number to number or from letter to letter")
        return [chr(code) for code in _span(ord(start), ord(end), step)]
    if not is_number(start) or not is_number(end):
        raise TypeError("a range goes from number to number or from letter to letter")
    return [Long(value) for value in _span(whole(start), whole(end), step)]


def _span(start: int, end: int, step: Any) -> range:
    width = whole(step)
    if width == 0:
        raise ValueError("the increment of a range cannot be 0")
    size = abs(end - start) // abs(width) + 1
    if size > RANGE_SIZE_MAX:
        raise ValueError(f"a range cannot produce more than {RANGE_SIZE_MAX} elements, but this one has {size}")
    return range(start, end + (1 if width > 0 else -1), width)


def condition_holds(value: Any) -> bool:
    """Tell whether a condition of the template language holds: false are false, null, 0 and the empty text."""
    if isinstance(value, bool):
        return value
    if value is None:
        return False
    if is_number(value):
        return bool(value != 0)
    if isinstance(value, str):
        return bool(value)
    raise TypeError("a condition must be a boolean, a number or a text")
