"""Which function runs the cases of which file; a file that is missing has no cases."""

from __future__ import annotations

import importlib
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from tests.conformance.corpus import Folder
from tests.conformance.deadline import Hung, deadline
from tests.conformance.left_out import reason
from tests.conformance.result import CaseResult, Outcome, failed

ENGINE_FILE: Final = "cases.yaml"
FILES: Final[dict[str, tuple[str, str]]] = {
    "expressions.yaml": ("expressions", "run_expression_cases"),
    "inputs.yaml": ("inputs", "run_inputs_cases"),
    "schedule.yaml": ("schedule", "run_schedule_cases"),
    "tasks.yaml": ("tasks", "run_tasks_cases"),
    "invalid/expected.yaml": ("validation", "run_validation_cases"),
    "defaults.yaml": ("defaults", "run_defaults_cases"),
    "graphs.yaml": ("graphs", "run_graphs_cases"),
    "misc.yaml": ("misc", "run_misc_cases"),
}
FILE_DEADLINE_S: Final = 300.0
"""All cases of a file, on a busy machine."""


def run_file(folder: Folder, file: str) -> list[CaseResult]:
    """Run every case of a file that is not `cases.yaml`; a crash of its runner is one failure that says so."""
    if not (folder.path / file).exists():
        return []
    module, name = FILES[file]
    started = time.monotonic()
    try:
        run: Callable[[Path], list[CaseResult]] = getattr(importlib.import_module(f"tests.conformance.{module}"), name)
        with deadline(FILE_DEADLINE_S):
            results = run(folder.path)
    except (Exception, Hung) as error:  # whatever a file does to the runner is its failure
        where = traceback.extract_tb(error.__traceback__)[-1]
        why = f"The runner of {file} broke: {type(error).__name__}: {error} ({where.filename}:{where.lineno})"
        return [failed(f"{folder.name}/{file}", file, why)]
    each = (time.monotonic() - started) / max(1, len(results))
    return [_listed(folder, msgspec.structs.replace(one, seconds=each)) for one in results]


def _listed(folder: Folder, result: CaseResult) -> CaseResult:
    """Apply the list of cases left out."""
    why = reason(result.id, f"{folder.name}/{result.file}")
    if why is None or result.result == Outcome.PASSED:
        return result
    return msgspec.structs.replace(result, result=Outcome.LEFT_OUT, why=why)
