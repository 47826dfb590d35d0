"""
Patterns of Java's DateTimeFormatter, cut into fields that can be written and read.

A field is a letter and how often it is repeated; the letter says what, the count says how wide.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

# Reading turns a pattern into a regular expression, whose making cannot be stopped; no real one is as long.
SIZE_MAX = 1000
LETTERS = frozenset("GuyDMLQqYwWdEecFaBhKkHmsSAnNVvzOXxZ")


class Field(msgspec.Struct, frozen=True):
    """A letter of the pattern and its count; literal text has the letter ''."""

    letter: str
    count: int = 0
    text: str = ""


OPTIONAL_START = Field("[")
OPTIONAL_END = Field("]")


@lru_cache(maxsize=256)
def fields(pattern: str) -> tuple[Field, ...]:
    """Cut a pattern into fields, or raise ValueError."""
    if len(pattern) > SIZE_MAX:
        raise ValueError(f"The pattern has {len(pattern)} characters; at most {SIZE_MAX} are allowed")
    found: list[Field] = []
    depth = 0
    at = 0
    while at < len(pattern):
        sign = pattern[at]
        if sign == "'":
            text, at = _quoted(pattern, at)
            found.append(Field("", text=text))
            continue
        count = 1
        if sign.isascii() and sign.isalpha():
            if sign not in LETTERS:
                raise ValueError(f"Unknown pattern letter: {sign}")
            while at + count < len(pattern) and pattern[at + count] == sign:
                count += 1
            found.append(Field(sign, count))
        elif sign in "[]":
            depth += 1 if sign == "[" else -1
            if depth < 0:
                raise ValueError("Pattern invalid as it contains ] without previous [")
            found.append(OPTIONAL_START if sign == "[" else OPTIONAL_END)
        elif sign in "{}#":
            raise ValueError(f"Pattern includes reserved character: '{sign}'")
        else:
            found.append(Field("", text=sign))
        at += count
    found.extend(OPTIONAL_END for _ in range(depth))
    return tuple(found)


def _quoted(pattern: str, at: int) -> tuple[str, int]:
    if pattern.startswith("''", at):
        return "'", at + 2
    pieces: list[str] = []
    at += 1
    while True:
        end = pattern.find("'", at)
        if end < 0:
            raise ValueError(f"Pattern ends with an incomplete string literal: {pattern}")
        pieces.append(pattern[at:end])
        if not pattern.startswith("''", end):
            return "".join(pieces), end + 1
        pieces.append("'")
        at = end + 2
