"""Bounded labels, and Kestra's names."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Summary

from tiercel.runtime.metrics import Exposition, FlowSeries


def test_flows_beyond_the_bound_share_one_series() -> None:
    """Ten thousand flows must not become ten thousand series; a flow that is known keeps its own."""
    series = FlowSeries(limit=2)

    labels = [series.labels("main", "a", name) for name in ("one", "two", "three", "one")]

    assert [("main", "a", "one"), ("main", "a", "two"), ("main", "other", "other"), ("main", "a", "one")] == labels


def test_a_process_exports_nothing_of_other_services() -> None:
    """A child of the standalone server has loaded the code of all: their zeros would be added to what others count."""
    registry = CollectorRegistry()
    for service in ("executor", "worker"):
        Gauge(f"tiercel_{service}_job_free", "Of one service.", registry=registry)

    text = Exposition(service="worker", registry=registry).text().decode()

    assert "tiercel_worker_job_free" in text
    assert "tiercel_executor_job_free" not in text


def _lines(*, kestra_names: bool) -> list[str]:
    registry = CollectorRegistry()
    Counter("tiercel_worker_started_count", "Started.", ["flow_id"], registry=registry).labels("one").inc()
    Summary("tiercel_worker_ended_duration_seconds", "Duration.", registry=registry).observe(2)
    Gauge("tiercel_worker_job_free", "Ours alone.", registry=registry).set(3)
    text = Exposition(kestra_names=kestra_names, registry=registry).text().decode()
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_what_kestra_has_is_exported_under_both_names_when_asked_for() -> None:
    """With `metrics.kestra-names`; what Kestra has not stays ours alone."""
    own = [
        'tiercel_worker_started_count_total{flow_id="one"} 1.0',
        "tiercel_worker_ended_duration_seconds_count 1.0",
        "tiercel_worker_ended_duration_seconds_sum 2.0",
        "tiercel_worker_job_free 3.0",
    ]
    kestras = [line.replace("tiercel_", "kestra_") for line in own[:3]]

    assert (own, sorted(own + kestras)) == (_lines(kestra_names=False), sorted(_lines(kestra_names=True)))
