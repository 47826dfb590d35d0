"""
The way into the flow language: text to flows, and plain data to tasks.

`parse_flow` refuses with every problem found; `check_flow` answers with everything that can be said about a text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import msgspec

from tiercel.errors import InvalidFlow, Problem
from tiercel.flowspec.binder import bind_struct, bind_typed
from tiercel.flowspec.defaults import OuterDefaults, merge_defaults
from tiercel.flowspec.findings import Findings, NewerRules, Use
from tiercel.flowspec.reference import check_templates
from tiercel.flowspec.scalars import BROKEN
from tiercel.flowspec.validate import note_removed_inputs, validate_flow
from tiercel.flowspec.yaml import Document, read_documents
from tiercel.model.flow import Dialect, Flow
from tiercel.model.task import Task
from tiercel.model.tenant import MAIN_TENANT

_OLD_EXPRESSION: Final = re.compile(r"\{[{%][^}]*(?:\b(?:json|currentEachOutput)\s*\(|\|\s*json\b)")
"""Functions and a filter that 2.0 took away: an expression that uses one is of the older dialect."""
_KEPT_BY_SERVER: Final = ("revision", "updated")
_REVISION_LINE: Final = re.compile(r"(?m)^revision: \d+\n?")

CheckExpression = Callable[[str], str | None]
"""Tells why a text is not a valid template, None when it is."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """
    All that can be said about one text.

    `flow` is there when it is valid. `deprecations` are paths, `relocations` pairs of an older type name and its new
    one, `cautions` what keeps no flow from being saved; `warnings` and `infos` are sentences.
    """

    problems: tuple[Problem, ...] = ()
    cautions: tuple[Problem, ...] = ()
    deprecations: tuple[str, ...] = ()
    relocations: tuple[tuple[str, str], ...] = ()
    uses: tuple[tuple[Use, tuple[int, int] | None], ...] = ()
    """Names that are unknown or not the newest, with line and column."""
    name: str | None = None
    """Namespace and id, as far as they are there."""
    flow: Flow | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each caution."""
        return tuple(caution.sentence for caution in self.cautions)

    @property
    def infos(self) -> tuple[str, ...]:
        """One sentence for each older type name."""
        return tuple(f"{old} is replaced by {new}" for old, new in self.relocations)


class Outside(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a text is read with: defaults of its surroundings, the tenant, and how strict.

    `newer_rules` says what is done with what only newer versions of the language refuse. Without `judges_constants`, a
    constant that can only fail is a warning: a flow that is saved already is read whatever it holds.
    """

    tenant_id: str = MAIN_TENANT
    revision: int | None = None
    defaults: OuterDefaults = OuterDefaults()
    strict: bool = True
    newer_rules: NewerRules = NewerRules.REFUSE
    judges_constants: bool = True
    check_expression: CheckExpression | None = None


def parse_flow(
    source: str,
    *,
    tenant_id: str = MAIN_TENANT,
    revision: int | None = None,
    defaults: OuterDefaults | None = None,
    strict: bool = True,
    check_expression: CheckExpression | None = None,
) -> Flow:
    """
    Read one flow; raise InvalidFlow with every problem.

    With `strict` false, unknown properties are left out instead of refused. The flow is read as one that is saved
    already (`Outside`): whoever saves one asks `check_flow`.
    """
    outside = Outside(
        tenant_id=tenant_id,
        revision=revision,
        defaults=defaults or OuterDefaults(),
        strict=strict,
        newer_rules=NewerRules.WARN,
        judges_constants=False,
        check_expression=check_expression,
    )
    report = check_flow(source, outside)
    if report.flow is None:
        raise InvalidFlow(report.problems)
    return report.flow


def parse_flows(source: str, outside: Outside | None = None) -> list[Flow]:
    """Read all flows of a text of several documents; raise InvalidFlow with every problem of all of them."""
    reports = check_flows(source, outside)
    problems = [problem for report in reports for problem in report.problems]
    if problems:
        raise InvalidFlow(problems)
    return [report.flow for report in reports if report.flow is not None]


def check_flow(source: str, outside: Outside | None = None) -> Report:
    """Say everything about a text that must hold exactly one flow."""
    reports = check_flows(source, outside)
    if len(reports) == 1:
        return reports[0]
    message = (
        f"The text holds {len(reports)} flows; give them one by one."
        if reports
        else "The text holds no flow; write one."
    )
    return Report(problems=(Problem("", message, 1, 1),))


def check_flows(source: str, outside: Outside | None = None) -> list[Report]:
    """Say everything about each document of a text."""
    try:
        documents = read_documents(source)
    except InvalidFlow as error:
        return [Report(problems=error.problems)]
    alone = len(documents) == 1
    return [
        _report(document, source if alone else text, outside or Outside())
        for document, text in zip(documents, _texts(source, documents), strict=True)
    ]


def check_document(data: dict[str, Any], outside: Outside | None = None) -> Report:
    """Say everything about a flow that is given as plain data, without a text."""
    document = Document(None, "")
    document.data = data
    return _report(document, "", outside or Outside())


def _texts(source: str, documents: Sequence[Document]) -> list[str]:
    """Return the part of the text that each document stands in."""
    parts = [part for part in re.split(r"(?m)^---[ \t]*(?:#.*)?$\n?", source) if part.strip()]
    return parts if len(parts) == len(documents) else [source] * len(documents)


def _report(document: Document, source: str, outside: Outside) -> Report:
    data = document.data
    if not isinstance(data, dict):
        place = document.place(()) or (1, 1)
        return Report(problems=(Problem("", "A flow is a map with 'id', 'namespace' and 'tasks'.", *place),))
    findings = Findings(strict=outside.strict)
    merged = merge_defaults(data, *outside.defaults.scopes(data.get("namespace")))
    flow = bind_struct(Flow, merged, None, findings)
    if outside.check_expression is not None:
        check_templates(findings, outside.check_expression)
    if flow is not BROKEN:
        note_removed_inputs(flow, findings)
    # Rules of the whole speak of a whole flow: where parts could not be read, they would name what is not wrong.
    if flow is not BROKEN and not findings.incomplete:
        dialect = Dialect.V1 if findings.old or _OLD_EXPRESSION.search(source) else Dialect.V2
        flow = _complete(flow, merged, source, dialect, outside)
        flow = msgspec.structs.replace(flow, dialect=validate_flow(flow, findings))
    problems = findings.problems(document)
    cautions = findings.cautions(document)
    refused, warned = findings.newer_problems(document, outside.newer_rules)
    problems.extend(refused)
    cautions.extend(warned)
    (problems if outside.judges_constants else cautions).extend(findings.constant_problems(document))
    return Report(
        problems=tuple(problems),
        cautions=tuple(cautions),
        deprecations=tuple(findings.deprecations),
        relocations=tuple(findings.relocations),
        name=".".join(str(data[key]) for key in ("namespace", "id") if data.get(key) is not None) or None,
        uses=tuple((use, document.place(use.path)) for use in findings.uses),
        flow=None if problems or flow is BROKEN else flow,
    )


def _complete(flow: Flow, merged: dict[str, Any], source: str, dialect: Dialect, outside: Outside) -> Flow:
    return msgspec.structs.replace(
        flow,
        tenant_id=outside.tenant_id,
        revision=outside.revision if outside.revision is not None else flow.revision,
        dialect=dialect,
        source=strip_revision(source),
        document={name: part for name, part in merged.items() if name not in _KEPT_BY_SERVER},
    )


def strip_revision(source: str) -> str:
    """Return the text without the line that holds a revision: the server counts revisions."""
    return _REVISION_LINE.sub("", source)


def bind_task(document: dict[str, Any]) -> Task:
    """Make a task of its plain data; what it does not know is left out. Raises InvalidFlow when it cannot."""
    findings = Findings(strict=False)
    task = bind_typed(Task, document, None, findings)
    if task is BROKEN:
        raise InvalidFlow(findings.problems(None))
    return task  # type: ignore[no-any-return]  # the binder makes instances of the class it is given


class Named(Protocol):
    """What has the name of a flow: one that was read, or a stored row."""

    @property
    def id(self) -> str: ...
    @property
    def namespace(self) -> str: ...


def update_problems(flow: Named, previous: Named) -> list[Problem]:
    """Return what forbids saving `flow` over `previous`: id and namespace never change."""
    problems = []
    if flow.id != previous.id:
        problems.append(Problem("flow.id", f"Illegal flow id update: '{previous.id}' cannot become '{flow.id}'."))
    if flow.namespace != previous.namespace:
        message = f"Illegal namespace update: '{previous.namespace}' cannot become '{flow.namespace}'."
        problems.append(Problem("flow.namespace", message))
    return problems
