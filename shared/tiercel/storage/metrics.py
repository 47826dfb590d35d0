"""What internal storage counts, whatever it is."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Histogram

SECONDS: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 60, 600)
"""From a small file on a disk to a large one to a bucket far away."""
BYTES: Final = Counter(
    "tiercel_storage_bytes", "Bytes that went into internal storage (`written`) and came out (`read`).", ["direction"]
)
ERRORS: Final = Counter(
    "tiercel_storage_errors", "Operations of internal storage that failed; a missing file is an answer.", ["operation"]
)
OPERATION_SECONDS: Final = Histogram(
    "tiercel_storage_operation_seconds",
    "Time of an operation of internal storage; `read_on` is the next chunk.",
    ["operation"],
    buckets=SECONDS,
)
