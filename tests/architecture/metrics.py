"""The page of metrics: what each module `metrics.py` declares, and what has become of Kestra's."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, Final

from prometheus_client.metrics import MetricWrapperBase

from tests.architecture import tree
from tiercel.runtime import kestra_metrics
from tiercel.runtime.metrics import FLOWS_MAX, PREFIX

NOTE: Final = "<!-- Drawn by `make docs` from the modules `metrics.py`; do not edit. -->"
SECTIONS: Final = {
    "tiercel.runtime.metrics": "Every process",
    "tiercel.runtime.postgres.metrics": "Every process with connections to PostgreSQL",
    "tiercel.queue.metrics": "Every process, of the queue",
    "tiercel.queue.kafka.metrics": "Every process, of Kafka (`queue.type: kafka`)",
    "tiercel.storage.metrics": "Every process, of internal storage",
}
"""Titles of the modules that are not a service's."""
INTRODUCTION: Final = f"""\
Every process answers `/metrics` (and `/prometheus`, Kestra's path) on its management port, in the format of Prometheus.
Beside these are the usual ones of a Python process: `process_resident_memory_bytes`, `process_cpu_seconds_total`,
`process_open_fds`, `python_gc_…`.

A metric marked **K** exists in Kestra, and bears Kestra's name behind `{PREFIX}`. With `metrics.kestra-names: true` it
is exported as `kestra_…` too, and dashboards that were made for Kestra show it. Counters end in `_total`, summaries and
histograms in `_count` and `_sum`; a histogram has `_bucket` too. There is no `_max`.

The labels `namespace_id` and `flow_id` tell the first {FLOWS_MAX} flows of a process apart (`metrics.flows-max`); all
further ones are counted as `other`. Alerts, dashboard and scrape configuration are in `deploy/observability`."""


def declared(module: str) -> Iterator[MetricWrapperBase]:
    """Yield the metrics that a module declares, in its order."""
    for value in vars(importlib.import_module(module)).values():
        if isinstance(value, MetricWrapperBase):
            yield value


def modules() -> list[str]:
    """Return the names of all modules `metrics.py`, those of all processes first, that declare anything."""
    names = []
    for path in tree.modules():
        if path.name == "metrics.py":
            root = next(root for root in tree.SOURCE_ROOTS if root in path.parents)
            names.append(".".join(("tiercel", *path.relative_to(root).with_suffix("").parts)))
    names = [name for name in names if any(declared(name))]
    return sorted(names, key=lambda name: (list(SECTIONS).index(name) if name in SECTIONS else len(SECTIONS), name))


def names_of(metric: MetricWrapperBase) -> str:
    """Return a metric's name as Prometheus shows it, without the suffixes of summaries and histograms."""
    described: Any = metric.describe()[0]
    return f"{described.name}_total" if described.type == "counter" else str(described.name)


def metrics() -> str:
    """List every metric, by who exports it."""
    lines = ["# Metrics", "", NOTE, "", INTRODUCTION, ""]
    for module in modules():
        lines += [f"## {_title(module)}", "", "| metric | type | labels | |", "| --- | --- | --- | --- |"]
        lines += [_row(metric) for metric in declared(module)] + [""]
    lines += ["## Kestra's that do not exist here", "", "| metric | why |", "| --- | --- |"]
    lines += [f"| `kestra_{name}` | {reason} |" for name, reason in kestra_metrics.ABSENT.items()]
    return "\n".join(lines) + "\n"


def _title(module: str) -> str:
    return SECTIONS.get(module, module.split(".")[1].capitalize() if module.count(".") == 2 else module)


def _row(metric: MetricWrapperBase) -> str:
    described: Any = metric.describe()[0]
    base = described.name.removeprefix(PREFIX)
    mark = " **K**" if base in kestra_metrics.EXPORTED else ""
    labels = ", ".join(f"`{label}`" for label in metric._labelnames) or "–"
    return f"| `{names_of(metric)}`{mark} | {described.type} | {labels} | {described.documentation} |"
