"""What all runs of a worker share: storage, secrets, the expression engines, and where logs and measurements go."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from tiercel.client.base import ApiClient
from tiercel.expression.rendering import Engine
from tiercel.plugins.base import KeyValues
from tiercel.runtime.clock import Clock, SystemClock
from tiercel.runtime.scratch import Scratch
from tiercel.secrets.base import Secrets
from tiercel.storage.base import Storage
from tiercel.storage.keyvalues import StorageKeyValues
from tiercel.worker.errorlog import ErrorLog
from tiercel.worker.runlog import LogSink, MetricSink
from tiercel.worker.settings import WorkerSettings


async def _no_wait() -> None:
    return None


def _allowed() -> None:
    return None


@dataclasses.dataclass(kw_only=True)
class Surroundings:
    """Made once per worker."""

    storage: Storage
    secrets: Secrets
    settings: WorkerSettings = dataclasses.field(default_factory=WorkerSettings)
    clock: Clock = dataclasses.field(default_factory=SystemClock)
    log_sink: LogSink
    metric_sink: MetricSink
    room: Callable[[], Awaitable[None]] = _no_wait
    asking: Callable[[], None] = _allowed
    """Called before an expression asks for something outside of itself; it may refuse by an error."""
    error_log: ErrorLog = dataclasses.field(default_factory=ErrorLog)
    api: ApiClient | None = None
    """The API, for tasks that ask it; None where there is none, such as under a task that is run alone."""
    key_values: KeyValues | None = None
    """Another key-value store than that of internal storage, for tests."""
    environment: Mapping[str, str] = dataclasses.field(default_factory=lambda: dict(os.environ))
    _engines: dict[str, Engine] = dataclasses.field(default_factory=dict)
    _key_values: dict[str, KeyValues] = dataclasses.field(default_factory=dict)
    _scratch: Scratch | None = None

    def __post_init__(self) -> None:
        self.envs = envs_of(self.environment, self.settings.env_vars_prefix)
        self.temporary_folder = Path(self.settings.temporary_folder or tempfile.gettempdir())
        self.cache_folder = Path(self.settings.cache_folder or self.temporary_folder / f"tiercel-cache-{os.getuid()}")

    @property
    def folder(self) -> Path:
        """Where runs put what they need on disk, made on first use; it is gone when the process is."""
        if self._scratch is None:
            self._scratch = Scratch("worker", self.temporary_folder)
        return self._scratch.path

    def close(self) -> None:
        """Remove what is still on disk."""
        if self._scratch is not None:
            self._scratch.close()

    def engine(self, dialect: str) -> Engine:
        """Return the expression engine of a dialect."""
        found = self._engines.get(dialect)
        if found is None:
            spoken: Literal["1.x", "2.x"] = "1.x" if dialect == "1.x" else "2.x"
            found = Engine(dialect=spoken, recursive=self.settings.recursive_rendering)
            self._engines[dialect] = found
        return found

    def key_values_of(self, tenant_id: str) -> KeyValues:
        """Return the key-value store of a tenant."""
        if self.key_values is not None:
            return self.key_values
        found = self._key_values.get(tenant_id)
        if found is None:
            found = self._key_values[tenant_id] = StorageKeyValues(self.storage, tenant_id, self.clock)
        return found


def envs_of(environment: Mapping[str, str], prefix: str) -> dict[str, Any]:
    """Return the variable `envs`: variables with the prefix or `KESTRA_`, without it and in lower case."""
    envs: dict[str, Any] = {}
    for start in ("KESTRA_", prefix):
        for name, value in environment.items():
            if start and name.startswith(start) and name != "KESTRA_CONFIGURATION":
                envs[name[len(start) :].lower()] = value
    return envs
