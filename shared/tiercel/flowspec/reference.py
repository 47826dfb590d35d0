"""Rules on expressions: that they can be read, and that keys with dashes are not taken for subtractions."""

from __future__ import annotations

import re
from collections.abc import Callable

from tiercel.expression.values import texts_in
from tiercel.flowspec.findings import Findings, path_of
from tiercel.flowspec.identity import placed_leaves
from tiercel.flowspec.places import placed_tasks
from tiercel.flowspec.yaml import Path
from tiercel.model.flow import Flow
from tiercel.model.property import is_expression

_PIECE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)


def check_references(flow: Flow, findings: Findings) -> None:
    """Refuse `inputs.key-name` and `outputs.key-name` where such an input or task exists: it would subtract."""
    tasks = list(placed_tasks(flow))
    inputs = [leaf.id for leaf, _ in placed_leaves(flow.inputs, ())]
    for noun, names in (("input", inputs), ("output", [task.id for task, _ in tasks])):
        dashed = sorted({name for name in names if "-" in name}, key=len, reverse=True)
        if not dashed:
            continue
        pattern = re.compile(rf"\b{noun}s\.({'|'.join(re.escape(name) for name in dashed)})(?![\w-])")
        offending: dict[tuple[str, str], Path] = {}
        for trail, value in findings.expressions:
            path = path_of(trail)
            if any(pattern.search(piece) for text in texts_in(value) for piece in _PIECE.findall(text)):
                owner = max(
                    (task for task in tasks if path[: len(task[1])] == task[1]), key=lambda t: len(t[1]), default=None
                )
                if owner is None and path[0] == "outputs" and isinstance(path[1], int):
                    offending.setdefault(("outputs", flow.outputs[path[1]].id), path)
                else:
                    offending.setdefault(("tasks", owner[0].id if owner else str(path[0])), path)
        for kind in ("tasks", "outputs"):
            found = {name: path for (group, name), path in offending.items() if group == kind}
            if found:
                findings.of_flow(
                    next(iter(found.values())),
                    f"Invalid {noun} reference: use {noun}s[key-name] instead of {noun}s.key-name — keys with dashes "
                    f"require bracket notation, offending {kind}: [{', '.join(found)}]",
                )


def check_templates(findings: Findings, check_expression: Callable[[str], str | None]) -> None:
    """Note every expression that cannot be read."""
    for trail, value in findings.expressions:
        for text in texts_in(value):
            if is_expression(text):
                reason = check_expression(text)
                if reason is not None:
                    findings.problem(trail, f"The expression cannot be read: {reason}")
