"""
`${…}` in the texts of a case: ids and fields of what its steps have made, the present, and random names.

    ${e.id}   ${e:task=ID:values=[a, b]:outputs.value}   ${s[0]:task=item:id}   ${e:inputs.file|replace_execution_id=n}
    ${now+PT1S|seconds|url}   ${now:FMT@ZONE}   ${localtime|minutes}   ${id:name}   ${http}   ${this.loop.index}

A text that is one `${…}` and nothing else becomes the value itself; otherwise values are put in as text.
"""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

from tests.conformance.paths import Absent, walk
from tests.conformance.result import Mismatch
from tests.conformance.snapshot import Snapshot
from tests.conformance.values import duration

_HOLE: Final = re.compile(r"\$\{([^{}]+)\}")
_NOW: Final = re.compile(r"(now|localtime)([-+]P[^|:]*)?(?::([^|]*))?((?:\|[^|]*)*)")
_ALIAS: Final = re.compile(r"([A-Za-z_]\w*)((?:\[-?\d+\])*)(.*)", re.DOTALL)
TRUNCATE: Final = {
    "millis": lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000),
    "seconds": lambda at: at.replace(microsecond=0),
    "minutes": lambda at: at.replace(second=0, microsecond=0),
    "hours": lambda at: at.replace(minute=0, second=0, microsecond=0),
}
_JAVA: Final = (("yyyy", "%Y"), ("MM", "%m"), ("dd", "%d"), ("HH", "%H"), ("mm", "%M"), ("ss", "%S"))


class Names:
    """What a case's texts may name: aliases of its steps, the present, random ids."""

    def __init__(self, now: datetime, aliases: dict[str, Any] | None = None) -> None:
        self.now = now
        self.aliases: dict[str, Any] = {} if aliases is None else aliases
        self._ids: dict[str, str] = {}

    def random_id(self, name: str) -> str:
        """Return the random id of this name, the same one within the case."""
        return self._ids.setdefault(name, secrets.token_hex(8))

    def first_uri(self) -> str | None:
        """Return the URI of the first alias that has one: of the file that the case begins with."""
        for value in self.aliases.values():
            if isinstance(value, dict) and "uri" in value:
                return str(value["uri"])
        return None

    def fill(self, value: Any) -> Any:
        """Return data with every `${…}` in it replaced."""
        match value:
            case dict():
                return {self.fill(key): self.fill(inner) for key, inner in value.items()}
            case list():
                return [self.fill(inner) for inner in value]
            case str() if "${this" in value and "this" not in self.aliases:
                return value  # filled for each execution of the list
            case str() if "${" in value:
                whole = _HOLE.fullmatch(value)
                if whole:
                    return self.lookup(whole[1])
                return _HOLE.sub(lambda hole: str(self.lookup(hole[1])), value)
            case _:
                return value

    def lookup(self, expression: str) -> Any:
        """Return the value of one `${…}`."""
        if expression.startswith("id:"):
            return self.random_id(expression[3:])
        moment = _NOW.fullmatch(expression)
        if moment:
            return self._moment(*moment.groups())
        found = _ALIAS.fullmatch(expression)
        if found is None or found[1] not in self.aliases:
            raise Mismatch(f"Nothing in this case is named by '${{{expression}}}'.")
        value = self.aliases[found[1]]
        for index in re.findall(r"-?\d+", found[2]):
            value = value[int(index)]
        return self._select(value, found[3], expression)

    def _moment(self, kind: str, shift: str | None, pattern: str | None, modifiers: str) -> Any:
        at = self.now + (duration(shift) if shift else timedelta())
        if kind == "localtime":
            at = at.astimezone()
        steps = [step for step in modifiers.split("|") if step]
        for step in steps:
            at = TRUNCATE[step](at) if step in TRUNCATE else at
        if pattern:
            pattern, _, zone = pattern.partition("@")
            return _formatted(at.astimezone(ZoneInfo(zone)) if zone else at, pattern)
        if kind == "localtime":
            return at.time().isoformat()
        text = _isoformat(at)
        return quote(text, safe="") if "url" in steps else text

    def _select(self, value: Any, rest: str, expression: str) -> Any:
        rest, _, change = rest.partition("|")
        if rest.startswith(":"):
            found = _selected(value, rest[1:])
        elif rest:
            found = walk(_data(value), rest.removeprefix("."))
            if rest == ".state" and isinstance(value, Snapshot):
                found = value.state
        else:
            found = value
        if isinstance(found, Absent):
            raise Mismatch(f"'${{{expression}}}' leads to nothing.")
        if change.startswith("replace_execution_id"):
            new = re.split("[=:]", change, maxsplit=1)[1]
            return str(found).replace(value.id, self.random_id(new))
        return found


def _data(value: Any) -> Any:
    return value.view if isinstance(value, Snapshot) else value


def _selected(value: Any, text: str) -> Any:
    """Follow `task=ID:values=[a, b]:path`, `at=1:path` or `path`."""
    found = re.fullmatch(r"(?:task=([^:]*?)(?::values=\[(.*?)\])?|at=(-?\d+)):(.*)", text, re.DOTALL)
    if found is None:
        return walk(_data(value), text)
    if not isinstance(value, Snapshot):
        raise Mismatch(f"'{text}' selects a task run of something that is not an execution.")
    task, values, at, path = found.groups()
    if at is not None:
        run = value.run_at(int(at))
    else:
        run = value.run_of(task, [item.strip() for item in values.split(",")] if values else None)
    return walk(run.view, path)


def _isoformat(at: datetime) -> str:
    text = at.isoformat().replace("+00:00", "Z")
    return re.sub(r"(\.\d{3})000(?=Z|[+-])", r"\1", text)


def _formatted(at: datetime, pattern: str) -> str:
    if pattern == "iso_local_date":
        return at.date().isoformat()
    for java, python in _JAVA:
        pattern = pattern.replace(java, python)
    return at.strftime(pattern)
