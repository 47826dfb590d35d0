"""
What the metrics of all processes have in common: bounded labels, the build, and Kestra's names beside our own.

Metrics are declared in the `metrics.py` of whoever counts. A metric that Kestra has bears Kestra's name behind the
prefix `tiercel_`; dashboards that were made for Kestra find it as `kestra_…` too when the operator asks for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from prometheus_client import REGISTRY, Counter, Gauge, Metric, disable_created_metrics, generate_latest

from tiercel.runtime import kestra_metrics, version

PREFIX: Final = "tiercel_"
KESTRA_PREFIX: Final = "kestra_"
FLOWS_MAX: Final = 1000
"""Flows of a process that have series of their own unless the settings say otherwise: a series costs memory here,
in Prometheus, and in every scrape."""
OTHER: Final = "other"
"""Namespace and flow of the series that counts all flows beyond the bound."""
FLOW_LABELS: Final = ("tenant_id", "namespace_id", "flow_id")
SERVICES: Final = ("executor", "indexer", "scheduler", "webserver", "worker")
SECONDS: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 60, 600, 3600)
"""Bounds of histograms of times, from a step to an hour."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter that nobody reads

BUILD: Final = Gauge("tiercel_build_info", "Always 1; the labels say what runs.", ["service", "version"])
UNAVAILABLE: Final = Counter(
    "tiercel_backend_unavailable", "Times that work could not be done because a backend was away.", ["work"]
)


class FlowSeries:
    """Which flows have series of their own: the first ones that are seen, up to a limit."""

    def __init__(self, limit: int = FLOWS_MAX) -> None:
        self.limit = limit
        self._known: set[tuple[str, str, str]] = set()

    def labels(self, tenant_id: str, namespace: str, flow_id: str) -> tuple[str, str, str]:
        """Return the labels tenant, namespace and flow under which something of a flow is counted."""
        wanted = (tenant_id, namespace, flow_id)
        if wanted in self._known:
            return wanted
        if len(self._known) >= self.limit:
            return tenant_id, OTHER, OTHER
        self._known.add(wanted)
        return wanted


FLOWS: Final = FlowSeries()
"""Those of this process."""


class Source(Protocol):
    """What a registry and a selection of it have in common."""

    def collect(self) -> Iterable[Metric]: ...


class Exposition:
    """All metrics of a process as text, each under our name and, where wanted, Kestra's too."""

    def __init__(self, *, service: str | None = None, kestra_names: bool = False, registry: Source = REGISTRY) -> None:
        # A process that was forked from a supervisor has loaded the metrics of all services.
        self._foreign = tuple(f"{PREFIX}{name}_" for name in SERVICES if service is not None and name != service)
        self._kestra_names = kestra_names
        self._registry = registry

    def text(self) -> bytes:
        """Return what Prometheus reads."""
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        for metric in self._registry.collect():
            if metric.name.startswith(self._foreign):
                continue
            yield metric
            name = metric.name.removeprefix(PREFIX)
            if self._kestra_names and name in kestra_metrics.EXPORTED and metric.name != name:
                yield _renamed(metric)


def _renamed(metric: Metric) -> Metric:
    renamed = Metric(KESTRA_PREFIX + metric.name.removeprefix(PREFIX), metric.documentation, metric.type)
    renamed.samples = [
        sample._replace(name=KESTRA_PREFIX + sample.name.removeprefix(PREFIX)) for sample in metric.samples
    ]
    return renamed


def begin(service: str, *, flows_max: int) -> None:
    """Say what this process is, and how many flows it counts one by one."""
    FLOWS.limit = flows_max
    BUILD.labels(service, version.tiercel()).set(1)
