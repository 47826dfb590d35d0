"""`tiercel flow validate`: everything that is wrong with flow files, each with its place."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from tiercel.errors import Problem, Refused
from tiercel.flowspec.findings import UseKind
from tiercel.flowspec.parse import Report, check_flows


def execute(arguments: argparse.Namespace) -> int:
    """Check each file; return 1 when one of them is not valid."""
    valid = True
    for name in arguments.files:
        source = read(name)
        problems, warnings = check(source)
        for problem in problems:
            print(f"{place(name, problem)}: {problem.sentence}", file=sys.stderr)
        if not check_flows(source):
            print(f"{name}: it holds no flow", file=sys.stderr)
            valid = False
            continue
        for warning in warnings:
            print(f"{place(name, warning)}: warning: {warning.sentence}", file=sys.stderr)
        if not problems:
            print(f"{name}: valid")
        valid = valid and not problems
    return 0 if valid else 1


def check(source: str) -> tuple[list[Problem], list[Problem]]:
    """Return problems and warnings of all flows of a text; an older name of a type is warned of, too."""
    reports = check_flows(source)
    return (
        [problem for report in reports for problem in report.problems],
        [warning for report in reports for warning in (*report.cautions, *_replaced(report))],
    )


def _replaced(report: Report) -> Iterator[Problem]:
    for use, at in report.uses:
        if use.kind is UseKind.OLDER_TYPE_NAME:
            yield Problem(use.text, f"{use.name} is replaced by {use.now}", *(at or (None, None)))


def read(name: str) -> str:
    """Return the text of a flow file."""
    try:
        return Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Refused(f"Cannot read the flow file '{name}': {reason}.") from error


def place(name: str, problem: Problem) -> str:
    """Return `file:line:column` as far as it is known."""
    return f"{name}:{problem.line}:{problem.column}" if problem.line is not None else name
