"""Functions that find their way through the outputs of loops and parents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiercel.expression.printing import java_text
from tiercel.expression.runtime import Call
from tiercel.expression.signature import Args, Function
from tiercel.expression.values import is_map, is_sequence


def _parents(call: Call) -> list[Mapping[str, Any]]:
    """Return the parents from the farthest to the nearest."""
    parents = call.variable("parents")
    return [parent for parent in reversed(parents) if is_map(parent)] if isinstance(parents, (list, tuple)) else []


def _value_of(parent: Mapping[str, Any]) -> Any:
    run = parent.get("taskrun")
    return run.get("value") if is_map(run) else None


def _current_each_output(args: Args, call: Call) -> Any:
    found = call.required(args, "outputs")
    if not is_map(found):
        raise call.fail("The 'currentEachOutput' function expects an argument 'outputs' with type map.")
    for parent in _parents(call):
        if not is_map(parent.get("taskrun")):
            continue
        inner = found.get(_value_of(parent))
        if not is_map(inner):
            raise call.fail("No execution outputs for the current task runs path")
        found = inner
    return found.get(call.mapping("taskrun").get("value"))


def _iteration_output(args: Args, call: Call) -> Any:
    run = call.mapping("taskrun")
    if "iteration" not in run:
        raise call.fail("The 'iterationOutput' function should be used inside iterative tasks only.")
    given = args.get("taskId")
    iteration = _iteration(args, run, call)
    # A task is named by its id, or by its outputs: then all outputs of the iteration are asked for.
    task_id = given or call.mapping("task").get("id")
    found: Any = given if is_map(given) else call.mapping("outputs").get(java_text(task_id))
    for parent in _parents(call):
        if is_map(parent.get("taskrun")) and is_map(found):
            found = found.get(_value_of(parent))
    if not is_map(found):
        return None
    if iteration >= len(found):
        raise call.fail(
            f"The provided index ({iteration}) is out of range. It refers to an iteration whose outputs do not "
            f"exist yet. Maximum valid index is {len(found) - 1}."
        )
    output = list(found.values())[iteration]
    if is_map(given):
        return output
    return output.get("value") if is_map(output) else None


def _iteration(args: Args, run: Mapping[str, Any], call: Call) -> int:
    given = args.get("iteration")
    try:
        iteration = int(run["iteration"]) - 1 if given is None else int(java_text(given))
    except ValueError as error:
        raise call.fail(f"The 'iteration' argument must be an integer, but got: {java_text(given)}") from error
    if iteration < 0:
        raise call.fail(f"Cannot fetch iteration {iteration}: no previous iteration exists.")
    return iteration


def _parent_output(args: Args, call: Call) -> Any:
    if "index" not in args:
        return _output_of(call.mapping("parent"), call)
    index, parents = args["index"], _parents(call)
    if not isinstance(index, int) or isinstance(index, bool):
        raise call.fail("The 'parentOutput' function expects an argument 'index' of type integer.")
    if not 0 <= index < len(parents):
        raise call.fail(f"Invalid index: {index} for parents size: {len(parents)}")
    return _output_of(parents[index], call)


def _output_of(parent: Mapping[str, Any], call: Call) -> Any:
    task = parent.get("task")
    found = call.mapping("outputs").get(java_text(task.get("id"))) if is_map(task) else None
    value = _value_of(parent)
    return found if value is None or not is_map(found) else found.get(value)


def _loop_outputs(args: Args, call: Call) -> Any:
    rows, name = args.get("outputs"), args.get("name")
    if rows is None or name is None:
        missing = "outputs" if rows is None else "name"
        raise call.fail(f"The 'loopOutputs' function expects a non-null argument '{missing}'.")
    if not is_sequence(rows):
        raise call.fail("The 'loopOutputs' function expects 'outputs' to be a list.")
    if not isinstance(name, str):
        raise call.fail("The 'loopOutputs' function expects 'name' to be a string.")
    found = [row.get("outputs") if is_map(row) else None for row in rows]
    return [outputs.get(name) if is_map(outputs) else None for outputs in found]


def _tasks_with_state(args: Args, call: Call) -> Any:
    wanted = java_text(call.required(args, "state")).upper()
    found: list[dict[str, Any]] = []
    for task_id, states in call.mapping("tasks").items():
        for key, entry in states.items() if is_map(states) else ():
            is_own = key == "state" and not is_map(entry)
            state = entry if is_own else entry.get("state") if is_map(entry) else None
            if state is not None and java_text(state).upper() == wanted:
                found.append({"state": wanted} | ({} if is_own else {"value": key}) | {"taskId": task_id})
    return found


FUNCTIONS: Mapping[str, Function] = {
    "currentEachOutput": Function(_current_each_output, ("outputs",)),
    "iterationOutput": Function(_iteration_output, ("taskId", "iteration")),
    "loopOutputs": Function(_loop_outputs, ("outputs", "name")),
    "parentOutput": Function(_parent_output, ("index",)),
    "tasksWithState": Function(_tasks_with_state, ("state",)),
}
