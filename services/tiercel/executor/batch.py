"""A batch of events under way: what it has decided so far, and what waits."""

from __future__ import annotations

from typing import Any

from tiercel.executor.cache import Entry
from tiercel.executor.core.draft import Draft
from tiercel.executor.parking import Wait
from tiercel.queue.base import Delivery, Outgoing
from tiercel.statestore.base import Scope


class Batch:
    """What a batch has decided so far: a draft per execution, the scopes, and what must be said besides."""

    def __init__(self) -> None:
        self.drafts: dict[str, Draft] = {}
        self.entries: dict[str, Entry] = {}
        self.was: dict[str, int | None] = {}
        self.scopes: dict[str, Scope] = {}
        self.scopes_read: dict[str, Scope] = {}
        self.scope_was: dict[str, int | None] = {}
        self.messages: list[Outgoing] = []
        self.unreadable: dict[str, str] = {}
        """Executions whose records cannot be read, and why: their events become dead letters, others go on."""
        self.repeated: set[str] = set()
        """Executions whose create is an old one that came again."""
        self.returned: dict[str, Wait] = {}
        """Executions whose wait is over: their parked events are decided first."""
        self.waits: dict[str, Wait] = {}
        """Executions that wait from now on, or still."""
        self.parked: list[Any] = []
        self.unparked: list[Delivery[Any]] = []
