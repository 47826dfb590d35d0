"""The fence: a transaction proves at its beginning that its leases are still its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiercel.queue.base import Lease
from tiercel.runtime.postgres.array import int2s, texts


def fence_columns(leases: Sequence[Lease]) -> dict[str, Any]:
    """Return the parameters of the statement `fence`, in the order in which renewals lock the rows too."""
    ordered = sorted(leases, key=lambda lease: (lease.service, lease.partition))
    return {
        "services": texts([lease.service for lease in ordered]),
        "parts": int2s([lease.partition for lease in ordered]),
        "tokens": texts([lease.token for lease in ordered]),
        "count": len(ordered),
    }
