"""
Templates of the 1.x dialect: tasks that several flows share, kept apart and put into their place before an execution.

A template is a document with id, namespace, tasks and errors. Kestra gave them up for subflows; they are read here so
that flows that still name them run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tiercel.errors import InvalidFlow, Problem
from tiercel.flowspec.parse import check_document
from tiercel.flowspec.yaml import read_documents
from tiercel.storage import uris

TYPES: Final = frozenset({"io.kestra.plugin.core.flow.Template", "io.kestra.core.tasks.flows.Template"})
DEPTH_MAX: Final = 5
"""Templates inside templates: more are taken for some that name one another."""

Name = tuple[str, str]
"""Namespace and id of a template."""


def read_template(text: str) -> dict[str, Any]:
    """Read a template; raise InvalidFlow with everything that is wrong with it."""
    documents = [document.data for document in read_documents(text)]
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise InvalidFlow((Problem("", "A template is a map with 'id', 'namespace' and 'tasks'.", 1, 1),))
    template = documents[0]
    report = check_document({name: template[name] for name in template if name != "description"})
    if report.problems:
        raise InvalidFlow(report.problems)
    return template


def place_of(namespace: str, template_id: str) -> str:
    """Return the URI of a template in internal storage."""
    return uris.uri(f"{uris.namespace(namespace)}/_templates/{uris.slug(template_id)}.yaml")


def wanted(document: Any) -> Iterator[Name]:
    """Yield the templates that a flow's document names and does not hold yet."""
    if isinstance(document, Mapping):
        if document.get("type") in TYPES and not document.get("tasks"):
            yield str(document.get("namespace")), str(document.get("templateId"))
        for part in document.values():
            yield from wanted(part)
    elif isinstance(document, list | tuple):
        for part in document:
            yield from wanted(part)


def injected(document: Any, known: Mapping[Name, Mapping[str, Any] | None]) -> Any:
    """Return a flow's document with the tasks of known templates in their places."""
    if isinstance(document, Mapping):
        parts = {name: injected(part, known) for name, part in document.items()}
        if parts.get("type") in TYPES and not parts.get("tasks"):
            found = known.get((str(parts.get("namespace")), str(parts.get("templateId"))))
            if found is not None:
                parts |= {name: found[name] for name in ("tasks", "errors") if found.get(name)}
        return parts
    if isinstance(document, list | tuple):
        return [injected(part, known) for part in document]
    return document
