"""
Which paths are meant: globs as Java knows them, or regular expressions, as flows write them for files.

`glob:` and `regex:` in front choose; without them it is a glob, below `base` where there is one, and at any depth where
there is none. `*` stays inside a folder, `**` crosses folders, `**/` also stands for no folder at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from tiercel.errors import Refused

GLOB: Final = "glob:"
REGEX: Final = "regex:"


class PathPatterns:
    """Patterns of paths that are included, and of those that are not."""

    def __init__(self, include: Iterable[str], exclude: Iterable[str] = (), *, base: str | None = None) -> None:
        self.compiled = tuple(dict.fromkeys(_completed(pattern, base) for pattern in include))
        self._include = [_expression(pattern) for pattern in self.compiled]
        self._exclude = [_expression(_completed(pattern, base)) for pattern in exclude]

    def match(self, path: str) -> bool:
        """Tell whether a path is meant; one that is relative is taken as being below the root."""
        text = path if path.startswith("/") else "/" + path
        return any(pattern.fullmatch(text) for pattern in self._include) and not any(
            pattern.fullmatch(text) for pattern in self._exclude
        )


def _completed(pattern: str, base: str | None) -> str:
    if pattern.startswith((GLOB, REGEX)):
        return pattern
    if base is not None:
        return f"{GLOB}{base.rstrip('/')}/{pattern.removeprefix('./').lstrip('/')}"
    pattern = pattern.removeprefix("./")
    return GLOB + (pattern if pattern.startswith(("/", "**")) else f"**/{pattern}")


@lru_cache(maxsize=1024)
def _expression(pattern: str) -> re.Pattern[str]:
    kind, text = pattern.split(":", 1)
    try:
        return re.compile(text if kind == "regex" else glob_to_regex(text), re.DOTALL)
    except re.error as error:
        raise Refused(f"The pattern '{text}' is not valid: {error}.") from error


def glob_to_regex(glob: str) -> str:
    """Return the regular expression of a glob."""
    # A relative glob meets paths that begin with the root.
    text = glob if glob.startswith("/") else ("" if glob.startswith("**") else "/") + glob
    pieces: list[str] = []
    at = depth = 0
    while at < len(text):
        letter = text[at]
        if text.startswith("**/", at) and (at == 0 or text[at - 1] == "/"):
            pieces.append("(?:.*/)?" if at else "(?:.*/|/)?")
            at += 3
            continue
        if text.startswith("**", at):
            pieces.append(".*")
            at += 2
            continue
        if letter == "[":
            end = text.find("]", at + 2)
            if end > 0:
                inside = text[at + 1 : end].replace("\\", "\\\\")
                pieces.append("[" + ("^/" + inside[1:] if inside[:1] in "!^" else inside) + "]")
                at = end + 1
                continue
        if letter == "\\" and at + 1 < len(text):
            pieces.append(re.escape(text[at + 1]))
            at += 2
            continue
        if letter == "{":
            depth += 1
        elif letter == "}" and depth:
            depth -= 1
        pieces.append(_piece(letter, text, depth))
        at += 1
    if depth:
        raise Refused(f"The pattern '{glob}' opens a '{{' that it does not close.")
    return "".join(pieces)


def _piece(letter: str, text: str, depth: int) -> str:
    match letter:
        case "*":
            return "[^/]*"
        case "?":
            return "[^/]"
        case "{":
            return "(?:"
        case "}" if "{" in text:
            return ")"
        case "," if depth:
            return "|"
        case _:
            return re.escape(letter)
