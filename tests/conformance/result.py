"""What became of one case: the value that every kind of case hands to the report."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Final

import msgspec

from tests.conformance.corpus import Case, MissingFile
from tests.conformance.deadline import Hung

AGAIN: Final = "It passed when it was tried once more, alone; before:"
"""How `why` of a passed case begins that had failed beside others."""

NO_PROCESS: Final = "same code in every mode, no process involved"
"""What is said of a case that has passed in the runner's own process only."""


class Outcome(StrEnum):
    """Passed, failed (`why` says how), or left out (`why` says for what reason)."""

    PASSED = "passed"
    FAILED = "failed"
    LEFT_OUT = "left_out"


class CaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """One case's outcome; `file` is the file's path in its folder, as `cases.yaml` or `invalid/expected.yaml`."""

    id: str
    file: str
    result: Outcome
    why: str = ""
    features: tuple[str, ...] = ()
    seconds: float = 0.0
    through_processes: bool = False
    """True when running processes have shown it, not only the code in the runner's own process."""


class Mismatch(Exception):
    """What a case expected is not what is: the message says both."""


class LeftOut(Exception):
    """A case that cannot be tried here; the message gives the reason."""


class NoProcess(Exception):
    """A case that running processes do not show; the message gives the reason."""


def judged(case: Case, attempt: Callable[[], None]) -> CaseResult:
    """Try a case; whatever it raises is its result, and never ends the run of the others."""
    try:
        attempt()
    except (Exception, Hung) as error:  # whatever a case does to the runner is its failure
        return verdict(case.id, case.file, error, case.features)
    return passed(case.id, case.file, case.features)


def verdict(case_id: str, file: str, error: BaseException, features: Iterable[str] = (), place: str = "") -> CaseResult:
    """Make the result of a case that raised this, at this place of the case."""
    if isinstance(error, LeftOut | MissingFile):
        return left_out(case_id, file, str(error), features)
    at = f"{place}: " if place else ""
    if isinstance(error, Mismatch):
        return failed(case_id, file, f"{at}{error}", features)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" (at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno})" if frames else ""
    return failed(case_id, file, f"{at}{type(error).__name__}: {error}{where}", features)


def only(given: Iterable[str], known: Iterable[str], what: str) -> None:
    """Leave a case out that says more than the runner knows to judge: what is not looked at has not held."""
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise LeftOut(f"the runner does not know {what} {', '.join(map(repr, unknown))}")


def passed(case_id: str, file: str, features: Iterable[str] = ()) -> CaseResult:
    """Make the result of a case that holds."""
    return CaseResult(id=case_id, file=file, result=Outcome.PASSED, features=tuple(features))


def failed(case_id: str, file: str, why: str, features: Iterable[str] = ()) -> CaseResult:
    """Make the result of a case that does not hold."""
    return CaseResult(id=case_id, file=file, result=Outcome.FAILED, why=why, features=tuple(features))


def left_out(case_id: str, file: str, why: str, features: Iterable[str] = ()) -> CaseResult:
    """Make the result of a case that was not tried."""
    return CaseResult(id=case_id, file=file, result=Outcome.LEFT_OUT, why=why, features=tuple(features))
