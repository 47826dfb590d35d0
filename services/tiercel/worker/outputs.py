"""Outputs of a run as a message carries them: plain, inline while they are small, in internal storage when not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tiercel.errors import TaskFailed
from tiercel.expression.plain import plain
from tiercel.model.execution import OutputRef
from tiercel.storage import claimcheck
from tiercel.worker.context import TaskContext

_ENCODER = msgspec.json.Encoder()


async def reference(context: TaskContext, outputs: Mapping[str, Any]) -> OutputRef:
    """Return what the report carries; raise TaskFailed with the name of the output that is too large."""
    value: dict[str, Any] = plain(dict(outputs))
    try:
        encoded = _ENCODER.encode(value)
    except (OverflowError, ValueError, TypeError) as error:
        raise TaskFailed(f"The outputs cannot be written as JSON: {error}.") from error
    small = claimcheck.inline(value, encoded)
    if small is not None:
        return small
    limit = context.surroundings.settings.output_size_max
    if len(encoded) > limit:
        sizes = {name: len(_ENCODER.encode(part)) for name, part in value.items()}
        name = max(sizes, key=lambda each: sizes[each])
        raise TaskFailed(
            f"The outputs have {len(encoded)} bytes, of which '{name}' has {sizes[name]}; {limit} is the most that is "
            "kept. Write it into a file and hand on its URI."
        )
    path = f"{context.prefix}/outputs-{context.attempt}.json"
    return await claimcheck.check_in(context.storage, context.tenant_id, path, encoded)
