"""
An execution, live in a terminal: a line for each change of a task run and for each log line, then what came of it.

Lines only ever follow one another, so that the same picture appears in a terminal, a file and a CI log.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TextIO

from tiercel.cli.api import RemoteServer
from tiercel.model.state import State

POLL_S: Final = 0.1
"""Between two looks at the server: nobody reads faster."""
VALUE_MAX: Final = 24
"""Characters of an iteration's value that are shown."""
LOGS_WAIT_S: Final = 10.0
"""How long the last log lines of an ended execution may take to be written."""
QUIET_LOOKS: Final = 3
"""Looks without a new line after which there are no more."""
_MARKS: Final[Mapping[str, tuple[str, str]]] = {
    State.SUCCESS: ("✔", "32"),
    State.WARNING: ("!", "33"),
    State.FAILED: ("✘", "31"),
    State.KILLED: ("✘", "31"),
    State.CANCELLED: ("✘", "31"),
    State.RUNNING: ("▶", "36"),
    State.RETRYING: ("↻", "33"),
    State.PAUSED: ("‖", "33"),
}
_LEVELS: Final = {"ERROR": "31", "WARN": "33", "INFO": "0", "DEBUG": "2", "TRACE": "2"}
_SILENT: Final = frozenset({State.CREATED, State.SUBMITTED})


class LiveView:
    """Follows one execution until it ends, and shows it."""

    def __init__(self, api: RemoteServer, *, show_logs: bool = True, out: TextIO | None = None) -> None:
        self._api = api
        self._show_logs = show_logs
        self._out = out or sys.stdout
        self._colour = self._out.isatty()
        self._shown: dict[str, int] = {}
        self._logged = 0
        self._began: datetime | None = None
        self._width = 12

    async def follow(self, execution_id: str) -> dict[str, Any]:
        """Show what happens; return the ended execution."""
        while True:
            execution = await self._api.execution(execution_id)
            self._began = self._began or instant(execution["state"]["histories"][0]["date"])
            logs = await self._new_logs(execution_id) if self._show_logs else []
            self._show(self._run_lines(execution) + logs)
            if State(execution["state"]["current"]).is_terminated:
                break
            await asyncio.sleep(POLL_S)  # the server is elsewhere; faster than this nobody reads
        if self._show_logs:
            await self._show_last_logs(execution_id)
        return execution

    def _show(self, lines: list[tuple[datetime, str]]) -> None:
        for date, line in sorted(lines, key=lambda each: each[0]):
            passed = (date - self._began).total_seconds() if self._began else 0.0
            print(f"{max(0.0, passed):8.2f}s  {line}", file=self._out, flush=True)

    def _run_lines(self, execution: Mapping[str, Any]) -> list[tuple[datetime, str]]:
        """Return a line for each new state of a task run, those of tasks inside it before its end."""
        runs = execution.get("taskRunList") or []
        names = {run["id"]: run for run in runs}
        inside: dict[str | None, list[Mapping[str, Any]]] = {}
        for run in runs:
            parent = run.get("parentTaskRunId")
            inside.setdefault(parent if parent in names else None, []).append(run)

        def lines(runs: Sequence[Mapping[str, Any]]) -> Iterator[tuple[datetime, str]]:
            for run in runs:
                attempts = len(run.get("attempts") or [])
                found = []
                for change in self._changes(run):
                    again = attempts > 1 and change["state"] != State.SUCCESS
                    text = self._run_line(change["state"], _path(run, names), f"attempt {attempts}" if again else "")
                    found.append((instant(change["date"]), text))
                end = len(found) - 1 if State(run["state"]["current"]).is_terminated else len(found)
                yield from found[:end]
                yield from lines(inside.get(run["id"], ()))
                yield from found[end:]

        return list(lines(inside.get(None, ())))

    def _changes(self, run: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Yield the states that a task run went through since the last look."""
        histories = run["state"]["histories"]
        seen, self._shown[run["id"]] = self._shown.get(run["id"], 0), len(histories)
        for change in histories[seen:]:
            if change["state"] not in _SILENT:
                yield change

    def _run_line(self, state: str, path: str, note: str) -> str:
        mark, colour = _MARKS.get(state, ("·", "0"))
        self._width = max(self._width, min(len(path), 48))
        return self._painted(f"{mark} {path:<{self._width}}  {state:<8} {note}".rstrip(), colour)

    async def _new_logs(self, execution_id: str) -> list[tuple[datetime, str]]:
        """Return a line for each log line that has been written since the last look."""
        entries = await self._api.logs(execution_id)
        new, self._logged = entries[self._logged :], max(self._logged, len(entries))
        return [(instant(entry["timestamp"]), self._log_line(entry)) for entry in new]

    def _log_line(self, entry: Mapping[str, Any]) -> str:
        text = f"  {entry.get('taskId') or '-'} | {entry.get('message', '').rstrip()}"
        return self._painted(text, _LEVELS.get(entry.get("level", "INFO"), "0"))

    async def _show_last_logs(self, execution_id: str) -> None:
        """Wait until the end is written, and then until no more lines arrive: both travel to history on their own."""
        quiet, waited = 0, 0.0
        while quiet < QUIET_LOOKS and waited < LOGS_WAIT_S:
            await asyncio.sleep(POLL_S)  # lines come through the indexer, which does not say which is the last
            waited += POLL_S
            is_written = quiet > 0 or await self._api.is_written(execution_id)
            lines = await self._new_logs(execution_id)
            self._show(lines)
            quiet = quiet + 1 if is_written and not lines else 0

    def _painted(self, text: str, colour: str) -> str:
        return f"\033[{colour}m{text}\033[0m" if self._colour and colour != "0" else text

    def show_end(self, execution: Mapping[str, Any], files_in: Path | None) -> None:
        """Show the final state, the outputs, and where the files are."""
        state = execution["state"]["current"]
        mark, colour = _MARKS.get(state, ("·", "0"))
        ended = f"{mark} {execution['namespace']}.{execution['flowId']} {state}  (execution {execution['id']})"
        print(file=self._out)
        print(self._painted(ended, colour), file=self._out)
        outputs = execution.get("outputs") or {}
        if outputs:
            print("outputs", file=self._out)
        for name, value in outputs.items():
            print(f"  {name}: {value}", file=self._out)
        uris = list(dict.fromkeys(stored_files(outputs))) or list(dict.fromkeys(_run_files(execution)))
        if uris:
            print("files", file=self._out)
        for uri in uris:
            print(f"  {uri if files_in is None else files_in / uri.removeprefix('kestra:///')}", file=self._out)


def instant(text: str) -> datetime:
    """Read an instant of the API."""
    return datetime.fromisoformat(text)


def stored_files(value: Any) -> Iterator[str]:
    """Yield the addresses of stored files in a value."""
    if isinstance(value, str) and value.startswith("kestra:///"):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from stored_files(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from stored_files(inner)


def _run_files(execution: Mapping[str, Any]) -> Iterator[str]:
    for run in execution.get("taskRunList") or []:
        yield from stored_files(run.get("outputs") or {})


def _path(run: Mapping[str, Any], runs: Mapping[str, Mapping[str, Any]]) -> str:
    """Name a task run by its parents, with the values of iterations."""
    name = f"{run['taskId']}[{_short(run['value'])}]" if run.get("value") is not None else str(run["taskId"])
    parent = runs.get(run.get("parentTaskRunId") or "")
    return f"{_path(parent, runs)} › {name}" if parent is not None else name


def _short(value: str) -> str:
    """Shorten the value of an iteration: of an address, the end tells them apart."""
    if value.startswith("kestra:///"):
        value = value.rpartition("/")[2]
    return value if len(value) <= VALUE_MAX else f"{value[: VALUE_MAX - 1]}…"
