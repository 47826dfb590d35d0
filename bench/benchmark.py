"""What a benchmark is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from bench.target import Target

Results = dict[str, Any]


class Unit(StrEnum):
    """How a figure changes with the machine."""

    RATE = "rate"
    """More is better: multiplied by the machine's factor."""
    TIME = "time"
    """Less is better: divided by it."""
    AS_IS = "as is"
    """Does not depend on the machine's speed."""


class Benchmark(msgspec.Struct, frozen=True, kw_only=True):
    """A name, what it measures and how, the figures' units, and the measurement itself."""

    name: str
    method: str
    units: Mapping[str, Unit]
    measure: Callable[[Target], Awaitable[Results]]
    needs_own_server: bool = False
    """True when processes must be looked at, which a server elsewhere does not allow."""
    needs_bucket: bool = False
    """True when files must go to a MinIO of the benchmark's own; `Target.bucket` is its address."""
    bucket_environment: Mapping[str, str] = {}
    """Settings of that MinIO."""
    environment: Mapping[str, str] = {}
    """Settings of the server that the benchmark needs."""
