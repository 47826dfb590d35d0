"""What the operator decides about executors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class ExecutorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds and intervals; times in seconds."""

    batch_count: int = 250
    """Events of a partition that are decided in one transaction; more makes a batch slower, not the executor faster."""
    wait_s: float = 1.0
    """Safety net when a wake-up is lost."""
    lease_ttl_s: float = 10.0
    """An executor that is silent for this long loses its partitions to others."""
    lease_renew_s: float = 3.0
    """How often it renews them: three tries before they are lost."""
    worker_timeout_s: float = 30.0
    """A worker that is silent for this long is lost, if this executor was connected meanwhile."""
    cached_executions: int = 20_000
    """Executions that are kept in memory; of all others the store knows."""
    cached_outputs_bytes: int = 128 << 20
    """Bytes of their outputs that are kept in memory."""
    jobs_max: int = 1000
    """Jobs of one execution that wait or run at the same time."""
    chunk: int = 500
    """Children of a loop that one event creates."""
    kept_after_end_s: float = 3600.0
    """A terminated execution stays at least so long, and until the repository has it."""
    ignored_executions: tuple[str, ...] = ()
    """Executions that are left alone: they are created, and nothing goes on in them until they are killed."""
    ignored_flows: tuple[str, ...] = ()
    """Flows whose executions are left alone, as `tenant|namespace|flow`, or `namespace|flow` of the tenant `main`."""
    ignored_namespaces: tuple[str, ...] = ()
    """Namespaces whose executions are left alone, as `tenant|namespace` or `namespace`; those below are not meant."""
    ignored_tenants: tuple[str, ...] = ()
    """Tenants whose executions are left alone."""
    is_alone: bool = False
    """All services are in this process, and no worker elsewhere."""
    globals: Mapping[str, Any] = {}
    envs: Mapping[str, Any] = {}
    kestra: Mapping[str, str] = {}
    """What expressions see as `kestra`: the installation's `url` and `environment`."""
    encryption_key: str | None = None
    recursive_rendering: bool = False
