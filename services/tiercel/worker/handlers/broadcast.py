"""What a worker does with what everyone hears: it ends what is killed."""

from __future__ import annotations

from typing import assert_never

from tiercel.messages.broadcast import Broadcast, FlowUpdated, KillRun, TriggerStopped
from tiercel.worker.crew import Crew
from tiercel.worker.triggers import TriggerRuns


def handle(message: Broadcast, crew: Crew, triggers: TriggerRuns) -> None:
    """Act on one message."""
    match message:
        case KillRun():
            crew.kill(message)
        case TriggerStopped():
            triggers.hear(message)
        case FlowUpdated():
            pass  # a job carries the definition of its revision
        case _:
            assert_never(message)
