"""Every metric is listed, is named as the house names them, and nothing of Kestra's is forgotten."""

from __future__ import annotations

from tests.architecture import metrics, tree
from tiercel.runtime import kestra_metrics
from tiercel.runtime.metrics import PREFIX


def test_every_module_of_metrics_has_a_section() -> None:
    """The page names whose a metric is: a service's, or one of the shared modules in SECTIONS."""
    known = {*metrics.SECTIONS, *(f"tiercel.{service}.metrics" for service in tree.SERVICES)}

    assert set() == {module for module in metrics.modules() if module not in known and "storage" not in module}


def test_every_metric_bears_the_prefix_and_the_name_of_its_service() -> None:
    """`tiercel_<service>_…`: what a metric belongs to is read from its name."""
    wrong = [
        metrics.names_of(metric)
        for service in tree.SERVICES
        for metric in metrics.declared(f"tiercel.{service}.metrics")
        if not metrics.names_of(metric).startswith(f"{PREFIX}{service}_")
    ]

    assert [] == wrong


def test_everything_that_kestra_exports_is_exported_or_has_a_reason() -> None:
    """EXPORTED and ABSENT together are Kestra's list; what EXPORTED names is declared somewhere."""
    declared = {
        metrics.names_of(metric).removeprefix(PREFIX).removesuffix("_total")
        for module in metrics.modules()
        for metric in metrics.declared(module)
    }

    assert frozenset() == kestra_metrics.EXPORTED - declared
    assert set() == kestra_metrics.EXPORTED & kestra_metrics.ABSENT.keys()
