"""Filters that make, change and write numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Any

from babel import Locale
from babel.numbers import get_decimal_symbol, get_group_symbol

from tiercel.expression.dates.writing import locale_of
from tiercel.expression.printing import java_text
from tiercel.expression.runtime import Call
from tiercel.expression.signature import Args, Filter
from tiercel.expression.values import BigInteger, Float32, Long, class_name, is_number

DEFAULT_LOCALE = "en_US"
# Java's default pattern of a number.
_PLAIN_PATTERN = "#,##0.###"
_PATTERN = re.compile(r"(?P<prefix>(?:'[^']*'|[^#0,.'])*)(?P<number>[#0,.]+)(?P<suffix>.*)", re.DOTALL)
# Digits that may be missing stand outside, those that are always written inside.
_ORDER = re.compile(r"[#,]*[0,]*(?:\.0*#*)?")
_EXPONENT = re.compile("E(0+)")
_INT_MIN, _INT_MAX = -(2**31), 2**31 - 1
_LONG_MIN, _LONG_MAX = -(2**63), 2**63 - 1
# More digits than any number format has use for.
_DIGITS_MAX = 400
_WIDE = Context(prec=2 * _DIGITS_MAX + 10)


def _abs(value: Any, args: Args, call: Call) -> Any:
    if value is None:
        raise call.fail("Can not pass null value to 'abs' filter.")
    if not is_number(value):
        raise call.fail("The 'abs' filter needs a number.")
    return type(value)(abs(value)) if isinstance(value, (Long, Float32)) else abs(value)


def _number(value: Any, args: Args, call: Call) -> Any:
    if value is None:
        return None
    if not isinstance(value, str):
        raise call.fail(f"'number' filter can only be applied to String. Actual type was: {class_name(value)}")
    make = _MAKERS.get(java_text(args.get("type") or ""), _any_number)
    try:
        return make(value)
    except (ValueError, InvalidOperation) as error:
        raise call.fail(f"'{value}' is not a valid number.") from error


def _whole(text: str) -> int:
    sign, digits = (text[0], text[1:]) if text[:1] in ("+", "-") else ("", text)
    if digits[:1] in ("+", "-", "_"):
        raise ValueError(text)
    if digits[:2] in ("0x", "0X"):
        value = int(digits[2:], 16)
    elif digits.startswith("#"):
        value = int(digits[1:], 16)
    else:
        value = int(digits, 8) if len(digits) > 1 and digits[0] == "0" else int(digits)
    return -value if sign == "-" else value


def _bounded(low: int, high: int, kind: Callable[[int], Any]) -> Callable[[str], Any]:
    def make(text: str) -> Any:
        value = _whole(text)
        if not low <= value <= high:
            raise ValueError(f"{text} is out of range")
        return kind(value)

    return make


def _real(text: str) -> float:
    if "_" in text:
        raise ValueError(text)
    return float(text.rstrip("fFdD") if text[:2].lower() not in ("0x", "na", "in") else text)


_MAKERS: Mapping[str, Callable[[str], Any]] = {
    "INT": _bounded(_INT_MIN, _INT_MAX, int),
    "LONG": _bounded(_LONG_MIN, _LONG_MAX, Long),
    "FLOAT": lambda text: Float32(_real(text)),
    "DOUBLE": _real,
    "BIGDECIMAL": Decimal,
    "BIGINTEGER": lambda text: BigInteger(_whole(text)),
}


def _any_number(text: str) -> Any:
    """Choose the narrowest type, as Apache Commons does: a short fraction is a Float."""
    if not text.strip():
        raise ValueError("A blank string is not a valid number")
    last = text[-1]
    is_hexadecimal = text.lstrip("+-")[:2].lower() == "0x" or text.lstrip("+-").startswith("#")
    if not is_hexadecimal and last in "lL":
        return _MAKERS["LONG"](text[:-1])
    if not is_hexadecimal and last in "fF":
        return Float32(_real(text))
    if not is_hexadecimal and last in "dD":
        return _real(text)
    if is_hexadecimal or not any(sign in text for sign in ".eE"):
        value = _whole(text)
        return Long(value) if not _INT_MIN <= value <= _INT_MAX and _LONG_MIN <= value <= _LONG_MAX else value
    decimals = len(re.split("[eE]", text.partition(".")[2])[0])
    value_double = _real(text)
    if decimals <= 7 and not _is_lost(Float32(value_double), text):
        return Float32(value_double)
    return value_double if decimals <= 16 and not _is_lost(value_double, text) else Decimal(text)


def _is_lost(value: float, text: str) -> bool:
    return value - value != 0 or (value == 0 and Decimal(text) != 0)


def _number_format(value: Any, args: Args, call: Call) -> Any:
    if value is None:
        return None
    if not is_number(value):
        raise call.fail("The 'numberFormat' filter needs a number.")
    name = args.get("locale")
    locale = locale_of(java_text(name) if name else DEFAULT_LOCALE)
    pattern = args.get("format")
    return format_number(value, _PLAIN_PATTERN if pattern is None else java_text(pattern), locale)


def format_number(value: Any, pattern: str, locale: Locale) -> str:
    """Write a number by a pattern of Java's DecimalFormat."""
    positive, _, negative = pattern.partition(";")
    match = _PATTERN.fullmatch(positive)
    if match is None or len(match["number"]) > _DIGITS_MAX or not _ORDER.fullmatch(match["number"]):
        raise ValueError(f"Malformed pattern '{pattern}'")
    number = value if isinstance(value, Decimal) else Decimal(java_text(value) if _is_finite(value) else "NaN")
    if not number.is_finite():
        return "NaN" if value != value else ("-∞" if value < 0 else "∞")
    affixes = match["prefix"] + match["suffix"]
    number = number.scaleb(2) if "%" in affixes else number.scaleb(3) if "‰" in affixes else number
    exponent = _EXPONENT.match(match["suffix"])
    text = (
        _scientific(abs(number), match["number"], len(exponent[1]), locale)
        if exponent
        else _digits(abs(number), match["number"], locale)
    )
    prefix, suffix = _unquoted(match["prefix"]), _unquoted(match["suffix"][exponent.end() if exponent else 0 :])
    if number >= 0 or not any(sign in "123456789" for sign in text):
        return ("-" if number < 0 else "") + prefix + text + suffix
    if negative and (other := _PATTERN.fullmatch(negative)):
        return _unquoted(other["prefix"]) + text + _unquoted(other["suffix"])
    return "-" + prefix + text + suffix


def _is_finite(value: Any) -> bool:
    return not isinstance(value, float) or value - value == 0


def _unquoted(text: str) -> str:
    return text.replace("''", "\0").replace("'", "").replace("\0", "'").replace("¤", "$")


def _digits(number: Decimal, pattern: str, locale: Locale) -> str:
    whole_pattern, _, fraction_pattern = pattern.partition(".")
    fraction_max, fraction_min = len(fraction_pattern), fraction_pattern.count("0")
    whole_min = whole_pattern.count("0")
    if "." in pattern and not whole_min + fraction_min:
        # As in Java: of `#.##` one digit is always written, that before the point, or that after it in `.##`.
        whole_min, fraction_min = (1, 0) if whole_pattern else (0, 1)
    if number.adjusted() > _DIGITS_MAX:
        raise ValueError("The number has too many digits")
    rounded = format(number.quantize(Decimal(1).scaleb(-fraction_max), ROUND_HALF_EVEN, _WIDE), "f")
    whole, _, fraction = rounded.partition(".")
    fraction = fraction[:fraction_min] + fraction[fraction_min:].rstrip("0")
    whole = whole.lstrip("0").zfill(whole_min) or ("" if fraction else "0")
    if "," in whole_pattern:
        whole = _grouped(whole, len(whole_pattern) - whole_pattern.rindex(",") - 1, get_group_symbol(locale))
    return whole + (get_decimal_symbol(locale) + fraction if fraction else "")


def _scientific(number: Decimal, pattern: str, exponent_min: int, locale: Locale) -> str:
    """Write a number with an exponent: as many digits before the point as the pattern has, or a multiple of them."""
    whole_pattern, _, fraction_pattern = pattern.partition(".")
    whole_max, whole_min = len(whole_pattern), whole_pattern.count("0")
    fraction_max, fraction_min = len(fraction_pattern), fraction_pattern.count("0")
    exponent, mantissa = 0, number
    if number:
        mantissa = Context(prec=max(1, whole_min + fraction_max), rounding=ROUND_HALF_EVEN).plus(number)
        # The place of the point behind the first digit.
        point = mantissa.adjusted()
        exponent = point // whole_max * whole_max if whole_max > max(1, whole_min) else point - whole_min + 1
        mantissa = mantissa.scaleb(-exponent)
    whole, _, fraction = format(mantissa, "f").partition(".")
    fraction = fraction.rstrip("0").ljust(fraction_min, "0")
    text = whole.lstrip("0").zfill(whole_min) + (get_decimal_symbol(locale) + fraction if fraction else "")
    return f"{text}E{'-' if exponent < 0 else ''}{str(abs(exponent)).zfill(exponent_min)}"


def _grouped(digits: str, size: int, separator: str) -> str:
    if size <= 0:
        return digits
    head = len(digits) % size
    groups = [digits[:head]] if head else []
    return separator.join(groups + [digits[at : at + size] for at in range(head, len(digits), size)])


FILTERS: Mapping[str, Filter] = {
    "abs": Filter(_abs),
    "number": Filter(_number, ("type",)),
    "numberFormat": Filter(_number_format, ("format", "locale")),
}
