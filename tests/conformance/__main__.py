"""
`python -m tests.conformance --mode memory|postgres|kafka [--folder F]… [--file cases.yaml] [--only TEXT] [--jobs N]`

Runs every case of every folder, prints the report, writes `build/conformance-MODE.json`; ends with 1 when one failed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import msgspec

from tests.conformance import kinds
from tests.conformance.corpus import ROOT, Case, Folder, folders
from tests.conformance.left_out import compatibility, reason
from tests.conformance.report import Line, table, write
from tests.conformance.result import CaseResult, Outcome, left_out

COMPATIBILITY = ROOT / "docs" / "compatibility.md"
MARK = "<!-- generated: python -m tests.conformance --write-compatibility -->"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line says."""
    options = _options(arguments)
    lines: list[Line] = []
    for folder in folders(options.folder):
        if not options.file or kinds.ENGINE_FILE in options.file:
            lines += _lines(folder, _engine_cases(folder, options))
        others = [file for file in kinds.FILES if not options.file or file in options.file]
        for results in _other_cases(folder, others, options).values():
            lines += _lines(folder, results)
    print(table(lines, options.mode, tags=options.tags, failures=options.list_failures))
    if not (options.only or options.file or options.folder):
        write(lines, options.mode, ROOT / "build" / f"conformance-{options.mode}.json")
        if options.write_compatibility:
            write_compatibility(lines)
    elif options.json:
        write(lines, options.mode, ROOT / options.json)
    return 1 if any(line.case.result == Outcome.FAILED for line in lines) else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--mode", choices=("memory", "postgres", "kafka"), default="memory")
    parser.add_argument("--folder", action="append", help="a folder of this form; default: TIERCEL_CONFORMANCE")
    parser.add_argument("--file", action="append", help="run the cases of this file only")
    parser.add_argument("--only", help="run the cases whose id contains this text")
    parser.add_argument("--jobs", type=int, default=1, help="how many cases run side by side")
    parser.add_argument("--list-failures", action="store_true", help="say of each failed case why")
    parser.add_argument("--tags", action=argparse.BooleanOptionalAction, default=True, help="count by feature tag")
    parser.add_argument("--json", help="write the JSON report of a partial run here")
    parser.add_argument("--write-compatibility", action="store_true", help="renew docs/compatibility.md")
    return parser.parse_args(arguments)


def _other_cases(folder: Folder, files: Sequence[str], options: argparse.Namespace) -> dict[str, list[CaseResult]]:
    """Run the cases of the other files in this process, and then, in a real mode, on processes what these show."""
    results = {file: kinds.run_file(folder, file) for file in files}
    if options.only:
        results = {file: [one for one in found if options.only in one.id] for file, found in results.items()}
    if options.mode == "memory":
        return results
    from tests.conformance.live import run_live  # noqa: PLC0415 it needs the services, the other files do not

    return run_live(folder, results, options.mode, options.jobs)


def _lines(folder: Folder, results: Sequence[CaseResult]) -> list[Line]:
    return [Line(file=f"{folder.name}/{result.file}", case=result) for result in results]


def _engine_cases(folder: Folder, options: argparse.Namespace) -> list[CaseResult]:
    cases = [case for case in folder.cases(kinds.ENGINE_FILE) if not options.only or options.only in case.id]
    results: dict[str, CaseResult] = {}
    tried: list[Case] = []
    for case in cases:
        why = reason(case.id, case.where)
        if why is None:
            tried.append(case)
        else:
            results[case.id] = left_out(case.id, case.file, why, case.features)
    if tried:
        if options.mode == "memory":
            from tests.conformance.memory import run_cases  # noqa: PLC0415 it needs the services

            found = run_cases(folder, tried, options.jobs)
        else:
            from tests.conformance import postgres  # noqa: PLC0415 it needs the services

            found = [
                msgspec.structs.replace(one, through_processes=one.result == Outcome.PASSED)
                for one in postgres.run_cases(folder, tried, options.jobs, queue=options.mode)
            ]
        results |= {result.id: result for result in found}
    return [results[case.id] for case in cases]


def write_compatibility(lines: Sequence[Line]) -> None:
    """Renew the generated part of `docs/compatibility.md`."""
    prose = COMPATIBILITY.read_text("utf-8").partition(MARK)[0]
    left = [(line.file, line.case.id, line.case.why) for line in lines if line.case.result == Outcome.LEFT_OUT]
    COMPATIBILITY.write_text(f"{prose}{MARK}\n" + "\n".join(compatibility(left)) + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
