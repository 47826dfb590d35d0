"""
The task that comes after a job's: a worker runs it at once when it only computes, and reports both together.

An executor takes such a result over only if it is that of the very job which it would send now; the fingerprints of the
two say so. In every other case the job is sent and run as if nothing had been (docs/adr/0028).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from tiercel.model.execution import LogEntry, MetricEntry, OutputRef

OWN: Final = "taskrun"
"""The variable that tells of the task run itself, which does not exist yet: a successor does not reach it."""
_FINGERPRINT_BYTES: Final = 16
"""Enough that two different jobs never have the same."""
_ENCODER: Final = msgspec.msgpack.Encoder(order="sorted")


class Successor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    What is to be run after a job that has ended well, as its `TaskJob` would say it.

    Of its context `context` is what differs from that of the job before, and `kept` names the variables that do not.
    With `takes_outputs` the outputs of the job before are to be added to its own.
    """

    task_id: str
    definition: msgspec.Raw
    context: dict[str, Any] = {}
    kept: tuple[str, ...] = ()
    takes_outputs: bool = False
    log_level: str | None = None


class SuccessorResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A successor has run and ended in SUCCESS; what it logged and measured is without the id of the task run."""

    task_id: str
    fingerprint: bytes
    started_at: datetime
    ended_at: datetime
    outputs: OutputRef | None = None
    lines: tuple[LogEntry, ...] = ()
    measurements: tuple[MetricEntry, ...] = ()


def fingerprint(definition: msgspec.Raw, context: Mapping[str, Any]) -> bytes:
    """Return what is equal for equal definitions and contexts, but for `taskrun`; raise what encoding them raises."""
    encoded = _ENCODER.encode({name: value for name, value in context.items() if name != OWN})
    return hashlib.blake2b(encoded + bytes(definition), digest_size=_FINGERPRINT_BYTES).digest()
