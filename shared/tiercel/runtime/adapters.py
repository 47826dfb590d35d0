"""
The adapters that a process works with, chosen by settings in one place (`tiercel.runtime.wiring`) or by a test.

A service takes what its card allows from here: a worker has no state store, no definitions and no repository.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from tiercel.runtime.clock import Clock, SystemClock

if TYPE_CHECKING:
    from tiercel.client.base import ApiClient
    from tiercel.definitions.base import Definitions
    from tiercel.queue.base import Queue
    from tiercel.repository.base import Repository
    from tiercel.secrets.base import Secrets
    from tiercel.statestore.base import Leases, StateStore
    from tiercel.storage.base import Storage


@dataclasses.dataclass(kw_only=True)
class Adapters:
    """What a service reaches the outside by."""

    queue: Queue
    storage: Storage
    secrets: Secrets
    statestore: StateStore | None = None
    leases: Leases | None = None
    definitions: Definitions | None = None
    repository: Repository | None = None
    api: ApiClient | None = None
    """The webserver's API: what a worker asks in place of state and history."""
    clock: Clock = dataclasses.field(default_factory=SystemClock)
