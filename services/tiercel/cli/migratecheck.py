"""
`tiercel migrate check PATH…`: what becomes of flows that were written for Kestra.

Each flow runs as it is, or runs and has names that are not the newest, or lacks something here, or is wrong by itself.
What is said of a flow has its place in the text. Nothing is changed.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec

from tiercel.cli import expressioncheck, flow
from tiercel.errors import InvalidFlow, Problem, Refused
from tiercel.flowspec.findings import Use, UseKind
from tiercel.flowspec.parse import Outside, Report, check_flows
from tiercel.flowspec.yaml import read_documents

SUFFIXES: Final = (".yaml", ".yml")
_FLOWS: Final = frozenset({"namespace", "tasks"})
"""Of a flow at least one of these is there, whatever it lacks."""
_BAD: Final = frozenset({"MISSING", "INVALID", "UNREADABLE"})
_OF_RULES: Final = frozenset({"problem", "warning"})
"""Kinds of notes whose message does not say where."""
MISSING: Final = frozenset({UseKind.UNKNOWN_TYPE, UseKind.UNKNOWN_PROPERTY})


class Status(StrEnum):
    """What becomes of a flow."""

    RUNS = "runs as it is"
    OLDER = "runs, with older names"
    MISSING = "lacks something"
    INVALID = "is not valid"
    UNREADABLE = "cannot be read"
    SUITE = "is a suite of flow tests: see 'tiercel flow test'"
    OTHER = "is no flow"


_NO_FLOWS: Final = frozenset({Status.SUITE, Status.OTHER, Status.UNREADABLE})


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is said of a flow."""

    kind: str
    path: str
    message: str
    line: int | None = None
    column: int | None = None


class FlowReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is said of one flow."""

    file: str
    flow: str
    status: Status
    notes: tuple[Note, ...] = ()


def execute(arguments: argparse.Namespace) -> int:
    """Report on all flows; return 0 when all of them run, 1 when one does not."""
    reports = [report for name in files(arguments.paths) for report in reports_of(name)]
    if not reports:
        raise Refused("There is no flow in what was named; name YAML files, or folders that hold some.")
    if all(report.status is Status.UNREADABLE for report in reports):
        raise Refused(" ".join(report.notes[0].message for report in reports))
    if arguments.format == "json":
        print(json.dumps(as_json(reports), indent=2))
    else:
        for line in as_text(reports):
            print(line)
    return 1 if any(report.status.name in _BAD for report in reports) else 0


def files(names: Iterable[str]) -> Iterator[str]:
    """Yield files as they are named, and the YAML files of folders."""
    for name in names:
        path = Path(name)
        if path.is_dir():
            yield from sorted(str(each) for each in path.rglob("*") if each.suffix in SUFFIXES and each.is_file())
        else:
            yield name


def reports_of(name: str) -> list[FlowReport]:
    """Return what is said of each flow of a file; the newest rules of saving count."""
    outside = Outside(check_expression=expressioncheck.problem)
    try:
        text = flow.read(name)
    except Refused as error:
        note = Note(kind="problem", path="", message=str(error))
        return [FlowReport(file=name, flow="?", status=Status.UNREADABLE, notes=(note,))]
    reports = check_flows(text, outside)
    others = _others(text)
    if len(others) != len(reports):
        return [_report(name, report) for report in reports]
    return [
        _report(name, report) if other is None else FlowReport(file=name, flow=report.name or "?", status=other)
        for report, other in zip(reports, others, strict=True)
    ]


def _others(text: str) -> list[Status | None]:
    """Return, for each document of a text, what it is when it is no flow."""
    try:
        documents = [document.data for document in read_documents(text)]
    except InvalidFlow:
        return []
    return [_other(data) for data in documents]


def _other(data: Any) -> Status | None:
    if isinstance(data, dict) and "testCases" in data:
        return Status.SUITE
    is_flow = not isinstance(data, dict) or not _FLOWS.isdisjoint(data)
    return None if is_flow else Status.OTHER


def _report(name: str, report: Report) -> FlowReport:
    uses = [_note(use, place) for use, place in report.uses]
    known = {note.path for note in uses if note.kind in MISSING}
    problems = [_problem(problem, "problem") for problem in report.problems if problem.path not in known]
    cautions = [_problem(caution, "warning") for caution in report.cautions]
    if any(note.kind in MISSING for note in uses):
        status = Status.MISSING
    elif problems:
        status = Status.INVALID
    else:
        status = Status.OLDER if uses else Status.RUNS
    notes = sorted([*uses, *problems, *cautions], key=lambda note: (note.line or 0, note.column or 0))
    called = report.name or "?"
    return FlowReport(file=name, flow=called, status=status, notes=tuple(notes))


def _note(use: Use, place: tuple[int, int] | None) -> Note:
    line, column = place or (None, None)
    message = use.name if use.now is None else f"{use.name}, now {use.now}"
    return Note(kind=str(use.kind), path=use.text, message=message, line=line, column=column)


def _problem(problem: Problem, kind: str) -> Note:
    return Note(kind=kind, path=problem.path, message=problem.message, line=problem.line, column=problem.column)


def as_json(reports: list[FlowReport]) -> dict[str, Any]:
    """Return the reports for programs."""
    return {
        "flows": [msgspec.to_builtins(report) for report in reports],
        "summary": {status.name.lower(): count for status, count in _counts(reports).items()},
        "missingTypes": _missing(reports),
    }


def as_text(reports: list[FlowReport]) -> Iterator[str]:
    """Return the reports for people; the summary stands last, where it is seen."""
    for report in reports:
        yield f"{report.file}: {report.flow} {report.status}"
        for note in report.notes:
            where = f"{note.line}:{note.column}" if note.line is not None else "-"
            path = f"{note.path}: " if note.kind in _OF_RULES and note.path else ""
            yield f"  {where:>8}  {note.kind}: {path}{note.message}"
    missing = _missing(reports)
    if missing:
        yield ""
        yield "Types that do not exist here, and how often they are used:"
        yield from (f"  {count:>6}  {name}" for name, count in missing.items())
    yield ""
    counts = ", ".join(f"{count} {status}" for status, count in _counts(reports).items() if count)
    number = sum(report.status not in _NO_FLOWS for report in reports)
    yield f"{number} flow{'s' * (number != 1)}: {counts}"


def _counts(reports: list[FlowReport]) -> dict[Status, int]:
    flows = [status for status in Status if status not in (Status.SUITE, Status.OTHER)]
    return {status: sum(report.status is status for report in reports) for status in flows}


def _missing(reports: list[FlowReport]) -> dict[str, int]:
    names = [note.message for report in reports for note in report.notes if note.kind == UseKind.UNKNOWN_TYPE]
    return dict(Counter(names).most_common())
