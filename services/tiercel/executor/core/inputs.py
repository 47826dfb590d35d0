"""Typed inputs of executions that the executor itself starts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tiercel.executor.core.facts import Facts
from tiercel.model.flow import Flow


def typed_inputs(
    flow: Flow,
    values: Mapping[str, Any],
    facts: Facts,
    at: datetime,
    execution_id: str,
    labels: tuple[tuple[str, str], ...],
) -> dict[str, Any] | None:
    """Return a flow's inputs, typed; raise InvalidInput with all problems."""
    return dict(values) or None
