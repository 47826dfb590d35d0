"""The report: a table per folder, file and feature tag for people, and JSON for machines."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.conformance.result import AGAIN, NO_PROCESS, CaseResult, Outcome


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One result with its folder's own name before its file."""

    file: str
    case: CaseResult


def summary(lines: Sequence[Line], mode: str) -> dict[str, Any]:
    """Return what the JSON report holds."""
    files: dict[str, dict[str, int]] = {}
    for line in lines:
        counts = files.setdefault(line.file, {"total": 0, "passed": 0, "failed": 0, "left_out": 0})
        counts["total"] += 1
        counts[str(line.case.result)] += 1
    cases = [
        {"id": line.case.id, "file": line.file, "result": str(line.case.result), "why": line.case.why} for line in lines
    ]
    shown = Counter(line.file for line in lines if line.case.through_processes)
    return {"mode": mode, "files": files, "on_processes": {file: shown[file] for file in files}, "cases": cases}


def write(lines: Sequence[Line], mode: str, path: Path) -> None:
    """Write the JSON report."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(summary(lines, mode), indent=1, ensure_ascii=False) + "\n", "utf-8")


def table(lines: Sequence[Line], mode: str, *, tags: bool, failures: bool) -> str:
    """Return the report as text."""
    text: list[str] = []
    counted = summary(lines, mode)
    files: dict[str, dict[str, int]] = counted["files"]
    shown: dict[str, int] | None = counted["on_processes"] if mode != "memory" else None
    header = f"{'file':<44}{'total':>7}{'passed':>8}{'failed':>8}{'left out':>10}"
    text.append(header if shown is None else f"{header}{'on processes':>14}")
    for name, counts in files.items():
        text.append(_row(name, counts) + ("" if shown is None else f"{shown[name]:>14}"))
    total = {key: sum(counts[key] for counts in files.values()) for key in ("total", "passed", "failed", "left_out")}
    text.append(_row("all", total) + ("" if shown is None else f"{sum(shown.values()):>14}"))
    if tags:
        text += ["", *_tags(lines)]
    left = Counter(line.case.why for line in lines if line.case.result == Outcome.LEFT_OUT)
    if left:
        text += ["", "left out, by reason:"] + [f"  {count:>4}  {why}" for why, count in left.most_common()]
    if shown is not None:
        text += ["", *_same_code(lines)]
    again = [line for line in lines if line.case.why.startswith(AGAIN)]
    if again:
        text += ["", "passed only when tried once more, alone:"]
        text += [f"  {line.file}  {line.case.id}\n      {line.case.why}" for line in again]
    if failures:
        text += ["", "failed:"]
        text += [f"  {line.file}  {line.case.id}\n      {line.case.why}" for line in lines if _is_failed(line)]
    return "\n".join(text)


def _is_failed(line: Line) -> bool:
    return line.case.result == Outcome.FAILED


def _same_code(lines: Sequence[Line]) -> list[str]:
    """Count the cases that passed in the runner's own process only, by file and reason."""
    passed = [line for line in lines if line.case.result == Outcome.PASSED and not line.case.through_processes]
    counts = Counter((line.file, line.case.why or NO_PROCESS) for line in passed)
    return ["passed in the runner's process only:"] + [
        f"  {count:>4}  {file}: {why}" for (file, why), count in sorted(counts.items())
    ]


def _row(name: str, counts: dict[str, int]) -> str:
    return f"{name:<44}{counts['total']:>7}{counts['passed']:>8}{counts['failed']:>8}{counts['left_out']:>10}"


def _tags(lines: Sequence[Line]) -> list[str]:
    counts: dict[str, dict[str, int]] = defaultdict(lambda: {"total": 0, "passed": 0, "failed": 0, "left_out": 0})
    for line in lines:
        for tag in line.case.features:
            counts[tag]["total"] += 1
            counts[tag][str(line.case.result)] += 1
    header = f"{'feature':<44}{'total':>7}{'passed':>8}{'failed':>8}{'left out':>10}"
    return [header, *(_row(tag, counts[tag]) for tag in sorted(counts))]
