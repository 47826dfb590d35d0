"""What a decision wants done besides saving the state, as data, in order."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class Fire(msgspec.Struct, frozen=True, kw_only=True):
    """
    Create an execution.

    `variables` are the trigger's; `inputs` and `labels` of a backfill come on top of those of flow and trigger. With
    `failed` it is created FAILED with that sentence.
    """

    execution_id: str
    date: datetime
    variables: dict[str, Any]
    scheduled: bool = True
    inputs: dict[str, Any] = {}
    labels: tuple[tuple[str, str], ...] = ()
    failed: str | None = None


class Evaluate(msgspec.Struct, frozen=True, kw_only=True):
    """Have a worker evaluate the trigger."""

    date: datetime


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """Tell workers (or one) to stop what they run for the trigger (or one run of it)."""

    worker: str | None = None
    evaluation: datetime | None = None


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Tell people why nothing was done."""

    level: str
    text: str


Effect = Fire | Evaluate | Stop | Note
