"""Subflows that a flow calls and that are not there: a warning for its author, since they may come later."""

from __future__ import annotations

from collections.abc import Collection

from tiercel.definitions.base import Definitions
from tiercel.errors import Problem
from tiercel.flowspec.places import placed_tasks
from tiercel.flowspec.yaml import Document
from tiercel.model.flow import Flow
from tiercel.model.property import is_expression
from tiercel.plugins.core.flow.subflow import ForEachItem, Subflow


async def missing_subflows(
    definitions: Definitions, flow: Flow, document: Document, together: Collection[tuple[str, str]]
) -> list[Problem]:
    """Return a caution for each call of a flow that is unknown or disabled; those named in `together` come with it."""
    cautions = []
    for task, path in placed_tasks(flow):
        if not isinstance(task, Subflow | ForEachItem) or (task.namespace, task.flow_id) in together:
            continue
        if is_expression(task.namespace) or is_expression(task.flow_id):
            continue
        row = await definitions.row(flow.tenant_id, task.namespace, task.flow_id)
        if row is None or row.disabled:
            how = "not found" if row is None else "is disabled"
            message = f"The subflow '{task.flow_id}' {how} in namespace '{task.namespace}'."
            cautions.append(Problem("", message, *(document.place(path) or (None, None))))
    return cautions
