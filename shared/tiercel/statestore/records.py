"""Bytes of stored records: MessagePack, the same for every adapter that stores rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from tiercel.messages import codec
from tiercel.messages.topics import EXECUTION_EVENT
from tiercel.model.live import HeadRecord, OutputRecord, RunRecord
from tiercel.model.trigger_state import TriggerState
from tiercel.queue.base import Delivery
from tiercel.statestore.base import Scope

encode = msgspec.msgpack.Encoder().encode
decode_head = msgspec.msgpack.Decoder(HeadRecord).decode
decode_run = msgspec.msgpack.Decoder(RunRecord).decode
decode_output = msgspec.msgpack.Decoder(OutputRecord).decode
decode_scope = msgspec.msgpack.Decoder(Scope).decode
decode_trigger = msgspec.msgpack.Decoder(TriggerState).decode


def parked_delivery(number: int, partition: int, execution_id: str, body: bytes) -> Delivery[Any]:
    """Return a parked event as it was read; it may be one that cannot be decoded any more."""
    try:
        message, error = codec.decode(EXECUTION_EVENT, body), None
    except codec.Undecodable as failure:
        message, error = None, str(failure)
    return Delivery(id=number, partition=partition, key=execution_id, message=message, body=body, error=error)


def ended_at(head: HeadRecord) -> datetime | None:
    """Return since when the execution is terminated, None when it is not."""
    execution = head.execution
    return execution.history[-1].date if execution.state.is_terminated and execution.history else None
