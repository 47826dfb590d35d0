"""
What binding and validation find: problems, uses of old names, and the signs of the older dialect.

`expressions` holds the values of dynamic properties, so that their templates can be checked afterwards.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, NamedTuple

from tiercel.errors import Problem
from tiercel.flowspec.yaml import Document, Path, path_text

Trail = tuple["Trail", str | int] | None
"""A path as a chain, so that walking down costs one pair: (path of the parent, name or index), None at the root."""

NOT_POSITIVE: Final = "must be a positive duration"
MAX_PROBLEMS: Final = 500
"""Problems kept of one text; nobody reads more."""


def path_of(trail: Trail) -> Path:
    """Return the steps of a trail from the root."""
    steps: list[str | int] = []
    while trail is not None:
        trail, step = trail
        steps.append(step)
    return tuple(reversed(steps))


class NewerRules(StrEnum):
    """What happens to a flow that only newer versions of the language refuse."""

    REFUSE = "refuse"
    """It is refused, as they do."""
    REFUSE_WHAT_FAILS = "refuse what fails"
    """It is refused where it could only fail when it runs; the rest is warned of."""
    WARN = "warn"
    """It is taken, with a warning."""


class Finding:
    """One problem before its place is looked up: at `path`, or at `place` when that is another one."""

    __slots__ = ("message", "path", "place")

    def __init__(self, path: Path, message: str, place: Path | None = None) -> None:
        self.path = path
        self.message = message
        self.place = path if place is None else place


class UseKind(StrEnum):
    """What a name in a flow's text is, seen from the newest language."""

    UNKNOWN_TYPE = "unknown type"
    UNKNOWN_PROPERTY = "unknown property"
    OLDER_TYPE_NAME = "older name of a type"
    OLDER_PROPERTY_NAME = "older name of a property"
    DEPRECATED_TYPE = "deprecated type"
    DEPRECATED_PROPERTY = "deprecated property"
    REMOVED_TYPE = "type gone in 2.0"
    REMOVED_PROPERTY = "property gone in 2.0"
    REMOVED_INPUT_TYPE = "type of an input gone in 2.0"


class Use(NamedTuple):
    """A name that is not one of the newest language: where it stands, and what it is called now."""

    kind: UseKind
    path: Path
    name: str
    now: str | None = None

    @property
    def text(self) -> str:
        """The path as authors read it."""
        return path_text(self.path)


class Findings:
    """Collects everything that is found in one text."""

    __slots__ = (
        "constants",
        "deprecations",
        "doubts",
        "expressions",
        "failing",
        "found",
        "incomplete",
        "newer",
        "old",
        "relocations",
        "strict",
        "uses",
    )

    def __init__(self, *, strict: bool = True) -> None:
        self.strict = strict
        self.found: list[Finding] = []
        self.deprecations: list[str] = []
        self.newer: list[Finding] = []
        self.failing: list[Finding] = []
        self.constants: list[Finding] = []
        self.doubts: list[Finding] = []
        self.relocations: list[tuple[str, str]] = []
        self.old: set[str] = set()
        self.expressions: list[tuple[Trail, Any]] = []
        self.incomplete = False
        self.uses: list[Use] = []

    def use(self, kind: UseKind, trail: Trail, name: str, now: str | None = None) -> None:
        """Note a name that is unknown, or that is not the newest."""
        if len(self.uses) < MAX_PROBLEMS:
            self.uses.append(Use(kind, path_of(trail), name, now))

    def use_at(self, kind: UseKind, path: Path, name: str, now: str | None = None) -> None:
        """Note a name at a path that is known whole."""
        if len(self.uses) < MAX_PROBLEMS:
            self.uses.append(Use(kind, path, name, now))

    def problem(self, trail: Trail, message: str) -> None:
        """Note a problem of a value that could be read."""
        if len(self.found) < MAX_PROBLEMS:
            self.found.append(Finding(path_of(trail), message))

    def broken(self, trail: Trail, message: str) -> None:
        """Note a value that could not be read: what is bound then lacks it."""
        self.incomplete = True
        self.problem(trail, message)

    def at(self, path: Path, message: str) -> None:
        """Note a problem at a path that is known whole."""
        if len(self.found) < MAX_PROBLEMS:
            self.found.append(Finding(path, message))

    def of_flow(self, place: Path, message: str) -> None:
        """Note a problem of the flow as a whole, which shows at `place`."""
        if len(self.found) < MAX_PROBLEMS:
            self.found.append(Finding((), f"Invalid Flow: {message}", place))

    def of_newer_rule(self, path: Path, message: str) -> None:
        """Note what only newer versions of the language refuse: flows written before are taken, and run."""
        if len(self.newer) < MAX_PROBLEMS:
            self.newer.append(Finding(path, message))

    def fails_by_newer_rule(self, place: Path, message: str) -> None:
        """Note what only newer versions refuse and what fails when it runs: a problem of the flow as a whole."""
        if len(self.failing) < MAX_PROBLEMS:
            self.failing.append(Finding((), f"Invalid Flow: {message}", place))

    def of_constant(self, path: Path, message: str) -> None:
        """Note a constant that can only fail when it is used: a flow that is saved already fails then."""
        if len(self.constants) < MAX_PROBLEMS:
            self.constants.append(Finding(path, message))

    def doubt(self, path: Path, message: str) -> None:
        """Note what keeps no flow from being saved, and may still not be meant."""
        if len(self.doubts) < MAX_PROBLEMS:
            self.doubts.append(Finding(path, message))

    def doubt_of_flow(self, place: Path, message: str) -> None:
        """Note a doubt whose sentence says itself what it is about, which shows at `place`."""
        if len(self.doubts) < MAX_PROBLEMS:
            self.doubts.append(Finding((), message, place))

    def deprecated(self, trail: Trail) -> None:
        path = path_text(path_of(trail))
        if path not in self.deprecations:
            self.deprecations.append(path)

    def problems(self, document: Document | None) -> list[Problem]:
        """Return the problems with their places in the text."""
        own = list(document.problems) if document is not None else []
        return [*own, *(_placed(finding, document) for finding in self.found)]

    def newer_problems(self, document: Document | None, rules: NewerRules) -> tuple[list[Problem], list[Problem]]:
        """Return what of the newer rules is refused and what is warned of, with the places in the text."""
        refused: list[Finding] = [] if rules is NewerRules.WARN else self.failing
        if rules is NewerRules.REFUSE:
            refused = [*self.newer, *refused]
        warned = [finding for finding in (*self.newer, *self.failing) if finding not in refused]
        return [_placed(finding, document) for finding in refused], [_placed(finding, document) for finding in warned]

    def constant_problems(self, document: Document | None) -> list[Problem]:
        """Return what is wrong with constants, with their places in the text."""
        return [_placed(finding, document) for finding in self.constants]

    def cautions(self, document: Document | None) -> list[Problem]:
        """Return the doubts with their places in the text."""
        return [_placed(finding, document) for finding in self.doubts]


def _placed(finding: Finding, document: Document | None) -> Problem:
    place = document.place(finding.place) if document is not None else None
    line, column = place if place is not None else (None, None)
    return Problem(path_text(finding.path), finding.message, line, column)
