"""Rules on names: what must not stand twice, and what must be there when it is named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tiercel.flowspec.findings import Findings
from tiercel.flowspec.places import placed_tasks
from tiercel.flowspec.yaml import Path
from tiercel.model.flow import Flow
from tiercel.model.input import FlowOutput, Input, InputType
from tiercel.plugins.core.flow.subflow import ForEachItem, Subflow


def check_names(flow: Flow, findings: Findings) -> None:
    """Check ids of tasks, triggers, inputs and outputs, and calls of the flow to itself."""
    named = [(task.id, path) for task, path in placed_tasks(flow)]
    _unique("task id", named, findings)
    _unique("trigger id", [(trigger.id, ("triggers", at)) for at, trigger in enumerate(flow.triggers)], findings)
    for task, path in placed_tasks(flow):
        if isinstance(task, Subflow | ForEachItem) and (task.namespace, task.flow_id) == (flow.namespace, flow.id):
            findings.of_flow(path, f"Recursive call to flow [{flow.namespace}.{flow.id}]")
    check_input_names(flow.inputs, ("inputs",), findings)
    check_output_names(flow.outputs, ("outputs",), findings)


def check_output_names(outputs: Sequence[FlowOutput], path: Path, findings: Findings) -> None:
    """Check that no output stands twice."""
    _unique("output", [(output.id, (*path, at)) for at, output in enumerate(outputs)], findings)


def check_input_names(inputs: Sequence[Input], path: Path, findings: Findings) -> None:
    """Check that inputs have different names, and that those they depend on exist and do not go in a circle."""
    leaves = list(placed_leaves(inputs, path))
    named = [(leaf.id, place) for leaf, place in leaves]
    # A name that stands twice is said once, as the whole that it is: an input or a form, or else a path in a form.
    if not _unique("input", [(each.id, (*path, at)) for at, each in enumerate(inputs)], findings):
        twice = _twice(named)
        if twice:
            findings.of_flow(next(iter(twice.values())), f"Duplicate input path [{', '.join(twice)}]")
        else:
            _check_prefixes(named, findings)
    by_id = {leaf.id: leaf for leaf, _ in leaves}
    for leaf, place in leaves:
        for needed in leaf.depends_on.inputs if leaf.depends_on else ():
            if needed not in by_id:
                findings.of_flow(place, f"Input with id '{leaf.id}' depends on a non-existent input '{needed}'.")
        if leaf.id in _reached(leaf, by_id):
            findings.of_flow(place, f"Cycle dependency detected for input with id '{leaf.id}'.")


def placed_leaves(inputs: Iterable[Input], path: Path) -> Iterator[tuple[Input, Path]]:
    """Yield the inputs that take a value, those of forms under their dotted names, with their paths."""
    for at, each in enumerate(inputs):
        place = (*path, at)
        if each.type is InputType.FORM:
            for index, child in enumerate(each.inputs):
                yield _named(child, f"{each.id}.{child.id}"), (*place, "inputs", index)
        else:
            yield each, place


def _named(each: Input, name: str) -> Input:
    arguments = {field: getattr(each, field) for field in each.__struct_fields__}
    return Input(**{**arguments, "id": name})


def _unique(noun: str, named: Iterable[tuple[str, Path]], findings: Findings) -> bool:
    """Note names that stand twice, all in one sentence; tell whether there are any."""
    twice = _twice(named)
    if twice:
        findings.of_flow(next(iter(twice.values())), f"Duplicate {noun} with name [{', '.join(twice)}]")
    return bool(twice)


def _twice(named: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    """Return the names that stand twice, each with its second place."""
    seen: set[str] = set()
    twice: dict[str, Path] = {}
    for name, path in named:
        if name in seen:
            twice.setdefault(name, path)
        seen.add(name)
    return twice


def _check_prefixes(named: list[tuple[str, Path]], findings: Findings) -> None:
    names = {name for name, _ in named}
    for name, path in named:
        parts = name.split(".")
        for length in range(1, len(parts)):
            outer = ".".join(parts[:length])
            if outer in names:
                findings.of_flow(
                    path, f"Input path '{outer}' conflicts with '{name}'; one cannot be nested under the other."
                )


def _reached(leaf: Input, by_id: dict[str, Input]) -> set[str]:
    """Return the names that an input depends on, directly or not; itself only when there is a circle of several."""
    reached: set[str] = set()
    waiting = [name for name in (leaf.depends_on.inputs if leaf.depends_on else ()) if name != leaf.id]
    while waiting:
        name = waiting.pop()
        if name in reached or name not in by_id:
            continue
        reached.add(name)
        depends = by_id[name].depends_on
        waiting.extend(other for other in (depends.inputs if depends else ()) if other != name)
    return reached
