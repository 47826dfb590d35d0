"""
Typed values of the corpus (`{$instant: …}`, `{$file: …}` …) as Python values.

What has a type of its own in Python becomes that; the rest becomes the nearest plain value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from tests.conformance.corpus import Folder


class Upload(msgspec.Struct, frozen=True):
    """A part of a multipart request that is a file."""

    filename: str
    content: bytes


class HttpBody(msgspec.Struct, frozen=True):
    """The body that the stub answers for a URL."""

    url: str


_ISO = re.compile(
    r"(?P<sign>[-+])?P(?:(?P<weeks>\d+)W)?(?:(?P<days>-?\d+)D)?"
    r"(?:T(?:(?P<hours>-?\d+)H)?(?:(?P<minutes>-?\d+)M)?(?:(?P<seconds>-?\d+(?:\.\d+)?)S)?)?"
)


def duration(text: str | float) -> timedelta:
    """Read an ISO-8601 duration (`PT1H30M`), or a number of seconds."""
    if isinstance(text, int | float):
        return timedelta(seconds=text)
    found = _ISO.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text}' is not an ISO-8601 duration such as PT15S.")
    parts = {name: float(value) for name, value in found.groupdict().items() if value and name != "sign"}
    length = timedelta(**parts)
    return -length if found["sign"] == "-" else length


def instant(text: str) -> datetime:
    """Read a date and time with zone, also with a zone's name in brackets; without one it is UTC."""
    text, _, zone = text.strip().partition("[")
    text = re.sub(r"(\.\d{6})\d+", r"\1", text)
    if re.fullmatch(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", text[:16]) and len(text) == 16:
        text += ":00"
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        return found.replace(tzinfo=ZoneInfo(zone.rstrip("]")) if zone else UTC)
    return found.astimezone(ZoneInfo(zone.rstrip("]"))) if zone else found


def _float32(value: Any) -> float:
    return float(value)


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "$float32": _float32,
    "$long": int,
    "$short": int,
    "$byte": int,
    "$char": str,
    "$zoneddatetime": instant,
    "$offsetdatetime": instant,
    "$instant": instant,
    "$date": instant,
    "$localdate": date.fromisoformat,
    "$localtime": time.fromisoformat,
    "$localdatetime": lambda text: instant(text).replace(tzinfo=None),
    "$duration": duration,
    "$uri": str,
    "$set": list,
    "$array": list,
    "$http_body": HttpBody,
}


def build(value: Any, folder: Folder) -> Any:
    """Return data with every typed value in it made."""
    if isinstance(value, list):
        return [build(item, folder) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) <= 2:
        for key, inner in value.items():
            if isinstance(key, str) and key.startswith("$"):
                return _typed(key, inner, value, folder)
    return {key: build(inner, folder) for key, inner in value.items()}


def _typed(key: str, inner: Any, whole: Mapping[str, Any], folder: Folder) -> Any:
    if key in _SCALARS:
        return _SCALARS[key](build(inner, folder))
    match key:
        case "$file":
            return str(folder.path / inner)
        case "$upload":
            content = inner.get("content")
            data = content.encode() if content is not None else folder.content(inner["path"])
            return Upload(inner["filename"], data)
        case "$base":
            base = build(folder.reference(inner), folder)
            return base | build(whole.get("override", {}), folder)
        case "$repeat":
            return str(inner[0]) * int(inner[1])
        case "$concat":
            return [item for part in inner for item in build(part, folder)]
        case "$concat_text":
            return "".join(_text(part, folder) for part in inner)
        case "$range_rows":
            first, last = inner["range"]
            return [{inner["key"]: number} for number in range(first, last)]
        case _:
            return {key: build(item, folder) for key, item in whole.items()}


def _text(part: Any, folder: Folder) -> str:
    if isinstance(part, dict) and "$file" in part:
        return folder.text(part["$file"])
    return str(build(part, folder))


def plain(value: Any) -> Any:
    """Return a value as JSON would hold it: what a client of the API sends."""
    match value:
        case dict():
            return {str(key): plain(inner) for key, inner in value.items()}
        case list() | tuple() | set():
            return [plain(inner) for inner in value]
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case date() | time():
            return value.isoformat()
        case timedelta():
            return iso(value)
        case _:
            return value


def iso(length: timedelta) -> str:
    """Write a duration as Java does: hours, minutes and seconds, no days."""
    total = length.total_seconds()
    hours, rest = divmod(abs(total), 3600)
    minutes, seconds = divmod(rest, 60)
    text = "".join(
        f"{number:.6f}".rstrip("0").rstrip(".") + unit
        for number, unit in ((hours, "H"), (minutes, "M"), (seconds, "S"))
        if number
    )
    return ("-" if total < 0 else "") + "PT" + (text or "0S")
