"""Whether an agreement on an execution is violated, and the sentence that says so (reference 1.7)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tiercel.condition.evaluate import Render
from tiercel.expression.truth import means_true
from tiercel.model.duration import format_duration
from tiercel.model.flow import Sla, SlaType


def violation(sla: Sla, begun: datetime, now: datetime, variables: Mapping[str, Any], render: Render) -> str | None:
    """Return why an agreement is violated, None when it is kept."""
    match sla.type:
        case SlaType.MAX_DURATION:
            if sla.duration is None or now - begun < sla.duration:
                return None
            lasted, allowed = format_duration(now - begun), format_duration(sla.duration)
            return f"execution duration of {lasted} exceed the maximum duration of {allowed}."
        case SlaType.EXECUTION_ASSERTION:
            if sla.assertion is None or means_true(render(sla.assertion, variables)):
                return None
            return f"assertion is false: {sla.assertion}."
