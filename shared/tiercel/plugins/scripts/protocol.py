"""
What a process prints: lines to log, and `::{…}::` lines that are outputs, measurements and logs (reference 4.4).

Memory is bounded whatever is printed: a line ends at a line feed or a carriage return, and what is beyond a limit of a
line without an end is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tiercel.errors import TaskFailed
from tiercel.expression.printing import text_of
from tiercel.model.duration import parse_duration
from tiercel.plugins.base import RunContext

LINE_SIZE_MAX: Final = 4 << 20
"""Bytes of one line that are looked at: enough for outputs of a good size."""
OUTPUT_SIZE_MAX: Final = 16 << 20
"""Bytes of all `::{…}::` lines of one process."""
_MARKED: Final = re.compile(rb"::(\{.*\})::\s*", re.DOTALL)
_LEVEL_MARKS: Final = {b"##kestra:log:debug##": "DEBUG", b"##kestra:log:info##": "INFO"}
DEBUG_MARK: Final = "##kestra:log:debug##"
INFO_MARK: Final = "##kestra:log:info##"
"""Lines that are not logged: they say at which level those that follow are."""
_ENDS: Final = re.compile(rb"\r\n|\n|\r")


class Printed:
    """Everything that the streams of one process have brought."""

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.outputs: dict[str, Any] = {}
        self.line_counts = {"stdout": 0, "stderr": 0}
        self._outputs_size = 0

    def message(self, encoded: bytes) -> None:
        """Take one `::{…}::` line."""
        self._outputs_size += len(encoded)
        if self._outputs_size > OUTPUT_SIZE_MAX:
            raise TaskFailed(
                f"The process prints more than {OUTPUT_SIZE_MAX} bytes of outputs; write them into a file instead."
            )
        try:
            message = msgspec.json.decode(encoded, type=dict[str, Any])
        except msgspec.DecodeError as error:
            text = encoded[:500].decode("utf-8", "replace")
            self.context.log("WARN", f"Invalid outputs '{text}': {error}.")
            return
        outputs = message.get("outputs")
        if isinstance(outputs, Mapping):
            self.outputs.update(outputs)
        hidden = message.get("encryptedOutputs")
        if isinstance(hidden, Mapping):
            self.outputs.update({name: self.context.encrypt(text_of(value)) for name, value in hidden.items()})
        for metric in _listed(message.get("metrics")):
            self._measure(metric)
        for line in _listed(message.get("logs")):
            self.context.log(str(line.get("level") or "INFO").upper(), str(line.get("message", "")))

    def _measure(self, metric: Mapping[str, Any]) -> None:
        name, kind, value = metric.get("name"), str(metric.get("type", "counter")).lower(), metric.get("value")
        given = metric.get("tags")
        tags = {str(key): str(tag) for key, tag in given.items()} if isinstance(given, Mapping) else {}
        try:
            number = parse_duration(value).total_seconds() if kind == "timer" else float(value)  # type: ignore[arg-type]  # tried
        except (TypeError, ValueError):
            self.context.log("WARN", f"The metric '{name}' has no value that is a number: {value}.")
            return
        if kind == "timer":
            self.context.timer(str(name), number, **tags)
        elif kind == "gauge":
            self.context.gauge(str(name), number, **tags)
        else:
            self.context.counter(str(name), number, **tags)


def _listed(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


class LineReader:
    """Cuts one stream into lines and takes each of them in."""

    def __init__(self, printed: Printed, stream: str) -> None:
        self._printed = printed
        self._stream = stream
        self._level = "ERROR" if stream == "stderr" else "INFO"
        self._pieces: list[bytes] = []
        self._size = 0
        self._dropped = 0
        self._after_return = False

    def feed(self, data: bytes) -> None:
        """Take a chunk of the stream."""
        if self._after_return and data.startswith(b"\n"):
            data = data[1:]
        self._after_return = data.endswith(b"\r")
        if self._printed.context.log_is_full and b"::{" not in data:
            data = self._counted(data)
        start = 0
        for end in _ENDS.finditer(data):
            self._keep(data[start : end.start()])
            self._line()
            start = end.end()
        self._keep(data[start:])

    def _counted(self, data: bytes) -> bytes:
        """Count whole lines without looking at them, because nobody will see them; return what is left."""
        first, last = data.find(b"\n"), data.rfind(b"\n")
        if first == last:
            return data
        self._keep(data[:first])
        self._line()
        self._printed.line_counts[self._stream] += data.count(b"\n", first + 1, last + 1)
        return data[last + 1 :]

    def close(self) -> None:
        """The stream has ended: what is left is a line."""
        if self._size or self._dropped:
            self._line()

    def _keep(self, piece: bytes) -> None:
        room = LINE_SIZE_MAX - self._size
        if len(piece) > room:
            self._dropped += len(piece) - room
            piece = piece[:room]
        if piece:
            self._pieces.append(piece)
            self._size += len(piece)

    def _line(self) -> None:
        line = b"".join(self._pieces)
        dropped = self._dropped
        self._pieces, self._size, self._dropped = [], 0, 0
        level = _LEVEL_MARKS.get(line) if line.startswith(b"##") else None
        if level is not None:
            if self._stream == "stdout":
                self._level = level
            return
        self._printed.line_counts[self._stream] += 1
        if line.startswith(b"::{") and not dropped:
            marked = _MARKED.fullmatch(line)
            if marked is not None:
                self._printed.message(marked[1])
                return
        text = line.decode("utf-8", "replace").replace("\0", "\ufffd")
        self._printed.context.log(self._level, f"{text}… ({dropped} more bytes are cut off)" if dropped else text)
