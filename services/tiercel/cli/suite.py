"""
Suites of flow tests, as Kestra writes them: which flow, what stands for the world around it, what must come of it.

A suite is bound like a flow: every mistake is found at once, each with its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec

from tiercel.errors import InvalidFlow, Problem
from tiercel.flowspec.binder import bind_struct
from tiercel.flowspec.findings import Findings
from tiercel.flowspec.scalars import BROKEN
from tiercel.flowspec.yaml import Document
from tiercel.model.property import DYNAMIC, NOT_BLANK, NOT_EMPTY, Aliases, Node
from tiercel.model.state import State


class TaskGiven(Node, frozen=True, kw_only=True):
    """What a task gives without being run."""

    id: Annotated[str, NOT_BLANK]
    value: str | None = None
    """Only for the iteration with this value."""
    state: State = State.SUCCESS
    outputs: Annotated[dict[str, Any] | None, DYNAMIC] = None
    description: str | None = None
    assets: Any = None


class TriggerGiven(Node, frozen=True, kw_only=True):
    """What a trigger would have said."""

    id: Annotated[str, NOT_BLANK]
    type: Annotated[str, NOT_BLANK]
    variables: Annotated[dict[str, Any], DYNAMIC] = msgspec.field(default_factory=dict)


class Fixtures(Node, frozen=True, kw_only=True):
    """What stands for the world around the flow."""

    inputs: Annotated[dict[str, Any], DYNAMIC] = msgspec.field(default_factory=dict)
    files: dict[str, str] = msgspec.field(default_factory=dict)
    """Contents (or addresses) of files by name; fixtures see their addresses as `files`."""
    tasks: tuple[TaskGiven, ...] = ()
    trigger: TriggerGiven | None = None


class Assertion(Node, frozen=True, kw_only=True):
    """A claim about a value, after the end."""

    value: Annotated[Any, DYNAMIC]
    task_id: str | None = None
    """The value is what this task's expressions would see."""
    description: str | None = None
    error_message: str | None = None
    equal_to: Annotated[Any, DYNAMIC, Aliases("equalsTo")] = None
    not_equal_to: Annotated[Any, DYNAMIC] = None
    contains: Annotated[Any, DYNAMIC] = None
    starts_with: Annotated[Any, DYNAMIC] = None
    ends_with: Annotated[Any, DYNAMIC] = None
    greater_than: Annotated[Any, DYNAMIC] = None
    greater_than_or_equal_to: Annotated[Any, DYNAMIC] = None
    less_than: Annotated[Any, DYNAMIC] = None
    less_than_or_equal_to: Annotated[Any, DYNAMIC] = None
    in_: Annotated[list[Any] | str | None, DYNAMIC] = msgspec.field(default=None, name="in")
    not_in: Annotated[list[Any] | str | None, DYNAMIC] = None
    is_null: Annotated[bool | str | None, DYNAMIC] = None
    is_not_null: Annotated[bool | str | None, DYNAMIC] = None

    def operators(self) -> Iterator[tuple[str, Any]]:
        """Yield what is claimed: the operator as it is written, and what it is given."""
        for name in OPERATORS:
            given = getattr(self, name)
            if given is not None:
                yield OPERATORS[name], given


_NOT_OPERATORS: Final = frozenset({"value", "task_id", "description", "error_message"})
OPERATORS: Final = {
    field.name: field.encode_name for field in msgspec.structs.fields(Assertion) if field.name not in _NOT_OPERATORS
}
"""By attribute, as they are written."""


class CaseType(StrEnum):
    UNIT_TEST = "io.kestra.core.tests.flow.UnitTest"


class Case(Node, frozen=True, kw_only=True):
    """One run of the flow."""

    id: Annotated[str, NOT_BLANK]
    type: CaseType = CaseType.UNIT_TEST
    description: str | None = None
    disabled: bool = False
    fixtures: Fixtures = Fixtures()
    assertions: tuple[Assertion, ...] = ()
    expected_state: State | None = None


class Suite(Node, frozen=True, kw_only=True):
    """The tests of one flow."""

    id: Annotated[str, NOT_BLANK]
    namespace: Annotated[str, NOT_BLANK]
    flow_id: Annotated[str, NOT_BLANK]
    description: str | None = None
    disabled: bool = False
    test_cases: Annotated[tuple[Case, ...], NOT_EMPTY]


def is_suite(document: Document) -> bool:
    """Tell whether a document is a suite and not a flow."""
    data = document.data
    return isinstance(data, dict) and ("testCases" in data or ("flowId" in data and "tasks" not in data))


def read_suite(document: Document) -> Suite:
    """Read a suite; raise InvalidFlow with every problem."""
    findings = Findings()
    suite = bind_struct(Suite, document.data, None, findings)
    problems = findings.problems(document)
    if suite is not BROKEN and not problems:
        problems = list(_problems(suite, document))
    if problems or suite is BROKEN:
        raise InvalidFlow(problems)
    found: Suite = suite
    return found


def _problems(suite: Suite, document: Document) -> Iterator[Problem]:
    seen: set[str] = set()
    for at, case in enumerate(suite.test_cases):
        path: tuple[str | int, ...] = ("testCases", at)
        if case.id in seen:
            yield _problem(document, (*path, "id"), f"Duplicate test case id: {case.id}")
        seen.add(case.id)
        for number, assertion in enumerate(case.assertions):
            if not any(assertion.operators()):
                known = ", ".join(OPERATORS.values())
                message = f"The assertion claims nothing; say one of {known}."
                yield _problem(document, (*path, "assertions", number), message)
        for number, given in enumerate(case.fixtures.tasks):
            if not given.state.is_terminated:
                message = f"A task cannot end in the state {given.state}."
                yield _problem(document, (*path, "fixtures", "tasks", number, "state"), message)


def _problem(document: Document, path: tuple[str | int, ...], message: str) -> Problem:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
    return Problem(text, message, *(document.place(path) or (None, None)))
