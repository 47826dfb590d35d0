"""Bytes of stored records: MessagePack, the same for every adapter that stores rows."""

from __future__ import annotations

from datetime import datetime

import msgspec

from tiercel.model.live import HeadRecord, OutputRecord, RunRecord
from tiercel.model.trigger_state import TriggerState
from tiercel.statestore.base import Scope

encode = msgspec.msgpack.Encoder().encode
decode_head = msgspec.msgpack.Decoder(HeadRecord).decode
decode_run = msgspec.msgpack.Decoder(RunRecord).decode
decode_output = msgspec.msgpack.Decoder(OutputRecord).decode
decode_scope = msgspec.msgpack.Decoder(Scope).decode
decode_trigger = msgspec.msgpack.Decoder(TriggerState).decode


def ended_at(head: HeadRecord) -> datetime | None:
    """Return since when the execution is terminated, None when it is not."""
    execution = head.execution
    return execution.history[-1].date if execution.state.is_terminated and execution.history else None
