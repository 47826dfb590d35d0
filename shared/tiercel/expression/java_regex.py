"""
Regular expressions as Java writes them, with a bound on the time a match may take.

The `regex` package knows most of Java's syntax (possessive quantifiers, \\p classes, named groups) and, unlike the
standard library, can stop a match that backtracks without end.
"""

from __future__ import annotations

from functools import lru_cache

import regex

from tiercel.expression.runtime import Meter

# A pattern of ordinary use answers in microseconds; Kestra stops at a similar bound.
MATCH_TIME_MAX_S = 2.0
# Compiling cannot be stopped once it has begun; a pattern of this size takes a fraction of a second.
PATTERN_SIZE_MAX = 20_000
_BLANKS = r"[ \t\xA0\u1680\u180e\u2000-\u200a\u202f\u205f\u3000]"
_SPECIAL = frozenset(r"\.[]{}()*+?^$|")
_QUOTED = regex.compile(r"\\Q(.*?)(?:\\E|\Z)", regex.DOTALL)


@lru_cache(maxsize=500)
def compiled(pattern: str) -> regex.Pattern[str]:
    """Compile a Java pattern; raise ValueError when it is not one."""
    if len(pattern) > PATTERN_SIZE_MAX:
        raise ValueError(f"The regex has {len(pattern)} characters; at most {PATTERN_SIZE_MAX} are allowed")
    translated = _QUOTED.sub(lambda found: regex.escape(found.group(1)), pattern)
    translated = translated.replace(r"\z", r"\Z").replace(r"\h", _BLANKS)
    try:
        return regex.compile(translated, regex.V0)
    except (regex.error, RecursionError, OverflowError) as error:
        raise ValueError(f"Invalid regex '{pattern}': {error}") from error


def full_match(pattern: str, text: str) -> bool:
    """Tell whether the pattern matches the whole text."""
    return compiled(pattern).fullmatch(text, timeout=MATCH_TIME_MAX_S) is not None


def find(pattern: str, text: str) -> regex.Match[str] | None:
    """Return the first match anywhere in the text."""
    return compiled(pattern).search(text, timeout=MATCH_TIME_MAX_S)


def split(pattern: str, text: str, limit: int, meter: Meter) -> list[str]:
    """Split a text at every match, into at most `limit` pieces when that is positive; what matched is dropped."""
    if pattern and _SPECIAL.isdisjoint(pattern):  # As texts of many lines are split.
        return text.split(pattern, limit - 1 if limit > 0 else -1)
    pieces: list[str] = []
    at = 0
    for found in compiled(pattern).finditer(text, timeout=MATCH_TIME_MAX_S):
        # An empty match at the start cuts nothing off.
        if found.end() == 0 or (found.start() == found.end() == len(text)):
            continue
        if 0 < limit <= len(pieces) + 1:
            break
        pieces.append(text[at : found.start()])
        meter.check_time()
        at = found.end()
    return [*pieces, text[at:]]


def replace_all(pattern: str, text: str, replacement: str, meter: Meter) -> str:
    """Replace every match; the replacement may hold `$1`, `${name}` and escaped `\\$`."""
    pieces: list[str] = []
    at = 0
    size = 0
    for found in compiled(pattern).finditer(text, timeout=MATCH_TIME_MAX_S):
        piece = text[at : found.start()] + _expanded(replacement, found)
        pieces.append(piece)
        size += len(piece)
        meter.check_size(size)
        meter.check_time()
        at = found.end()
    pieces.append(text[at:])
    return "".join(pieces)


def _expanded(replacement: str, found: regex.Match[str]) -> str:
    if "$" not in replacement and "\\" not in replacement:
        return replacement
    pieces: list[str] = []
    at = 0
    while at < len(replacement):
        sign = replacement[at]
        if sign == "\\" and at + 1 < len(replacement):
            pieces.append(replacement[at + 1])
            at += 2
        elif sign == "$":
            value, at = _group(replacement, at + 1, found)
            pieces.append(value)
        else:
            pieces.append(sign)
            at += 1
    return "".join(pieces)


def _group(replacement: str, at: int, found: regex.Match[str]) -> tuple[str, int]:
    if at < len(replacement) and replacement[at] == "{":
        end = replacement.find("}", at)
        name = replacement[at + 1 : end]
        if end < 0 or name not in found.re.groupindex:
            raise ValueError(f"No group with name {{{name}}}")
        return found.group(name) or "", end + 1
    if at >= len(replacement) or not replacement[at].isascii() or not replacement[at].isdigit():
        raise ValueError("Illegal group reference")
    number = int(replacement[at])
    if number > found.re.groups:
        raise IndexError(f"No group {number}")
    at += 1
    # Java takes further digits as long as such a group exists.
    while at < len(replacement) and replacement[at].isascii() and replacement[at].isdigit():
        longer = number * 10 + int(replacement[at])
        if longer > found.re.groups:
            break
        number, at = longer, at + 1
    return found.group(number) or "", at
