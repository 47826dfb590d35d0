"""What can be wrong with the history of an execution that has ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any

from tests.chaos.flows import SiegeFlow
from tiercel.model.state import EXECUTION_TRANSITIONS, TASK_RUN_TRANSITIONS, TERMINATED, State


def mistakes(execution: Mapping[str, Any], flow: SiegeFlow) -> list[str]:
    """Return every sign of a lost or doubled change, as sentences."""
    runs = execution.get("taskRunList") or []
    found = list(_path(execution["state"], EXECUTION_TRANSITIONS))
    if sum(State(change["state"]) in TERMINATED for change in execution["state"]["histories"]) != 1:
        found.append("it ended more than once")
    if execution["state"]["current"] != State.SUCCESS:
        found.append(f"it ended {execution['state']['current']}")
    counted = Counter(run["taskId"] for run in runs)
    if counted != flow.runs:
        found.append(f"its task runs are {dict(counted)}, not {dict(flow.runs)}")
    doubled = [key for key, count in Counter((run["taskId"], run.get("value")) for run in runs).items() if count > 1]
    if doubled:
        found.append(f"task runs are doubled: {doubled}")
    for run in runs:
        found += [f"task {run['taskId']}: {sentence}" for sentence in _path(run["state"], TASK_RUN_TRANSITIONS)]
        if run["state"]["current"] != State.SUCCESS:
            found.append(f"task {run['taskId']} ended {run['state']['current']}")
        succeeded = [a for a in run.get("attempts") or [] if a["state"]["current"] == State.SUCCESS]
        if len(succeeded) > 1:
            found.append(f"task {run['taskId']} succeeded {len(succeeded)} times")
    return found


def _path(state: Mapping[str, Any], table: Mapping[State, frozenset[State]]) -> Iterator[str]:
    """Yield a sentence for each step that the table of states does not know, or that goes back in time."""
    for before, after in pairwise(state["histories"]):
        if State(after["state"]) not in table.get(State(before["state"]), frozenset()):
            yield f"it went from {before['state']} to {after['state']}"
        # A date of a whole second is written without a fraction: as texts they do not compare.
        if datetime.fromisoformat(after["date"]) < datetime.fromisoformat(before["date"]):
            yield f"{after['state']} is earlier than {before['state']}"
