"""Claim checks of what the executor itself makes: a value that is too large for a record goes to internal storage."""

from __future__ import annotations

from typing import Any

import msgspec

from tiercel.executor.core.draft import Draft
from tiercel.executor.core.facts import Facts
from tiercel.model.execution import OutputRef, TaskRun
from tiercel.storage import uris
from tiercel.storage.claimcheck import digest_of, inline


def checked_in(draft: Draft, facts: Facts, run: TaskRun, name: str, value: dict[str, Any]) -> OutputRef:
    """Return what a record of this task run carries: the value, or where it is stored under this name."""
    encoded = msgspec.json.encode(value)
    small = inline(value, encoded)
    if small is not None:
        return small
    execution = draft.execution
    folder = uris.task(execution.namespace, execution.flow_id, execution.id, run.task_id, run.id)
    uri = facts.ask("stored", f"{folder}/{name}-{execution.generation}.json", encoded)
    return OutputRef(size=len(encoded), uri=uri, digest=digest_of(encoded))
