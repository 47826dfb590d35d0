"""What the validation of several documents answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.conformance.corpus import Folder
from tests.conformance.result import Mismatch
from tiercel.flowspec.parse import Report, check_flows


def http_documents(corpus: Folder, body: dict[str, Any]) -> None:
    """Compare the reports on the documents of one or several files with what the validation address answers."""
    files = body["file"] if isinstance(body["file"], list) else [body["file"]]
    compare_documents([report for file in files for report in check_flows(corpus.text(file))], body["expect"])


def compare_documents(reports: Sequence[Report], expect: Mapping[str, Any]) -> None:
    """Compare reports on documents with what a case expects of them."""
    if "output_contains" in expect:
        said = "\n".join(
            [
                *(f"✓ - {report.flow.namespace} / {report.flow.id}" for report in reports if report.flow),
                *(f"⚠ - {path} is deprecated" for report in reports for path in report.deprecations),
                *(f"ℹ - {info}" for report in reports for info in report.infos),
            ]
        )
        for part in expect["output_contains"]:
            _need(part in said, f"{part!r} is not in {said!r}")
        return
    _need(len(reports) == len(expect["documents"]), f"{len(reports)} documents")
    for report, wanted in zip(reports, expect["documents"], strict=True):
        _compare(report, wanted)


def _compare(report: Report, wanted: Mapping[str, Any]) -> None:
    text = "\n".join(str(problem) for problem in report.problems)
    constraints = wanted.get("constraints", ...)
    if constraints is None:
        _need(not report.problems, f"refused: {text}")
    elif isinstance(constraints, dict):
        _need(constraints["contains"] in text, f"{constraints['contains']!r} is not in {text!r}")
    if wanted.get("deprecation_paths"):
        _need(list(report.deprecations) == wanted["deprecation_paths"], f"deprecations are {report.deprecations}")
    if "deprecation_paths_count" in wanted:
        _need(len(report.deprecations) == wanted["deprecation_paths_count"], f"deprecations are {report.deprecations}")
        _need(report.deprecations[0] == wanted["first_deprecation_path"], f"deprecations are {report.deprecations}")
    if isinstance(wanted.get("infos"), list):
        _need(list(report.infos) == wanted["infos"], f"infos are {report.infos}")
    elif isinstance(wanted.get("infos"), int):
        _need(len(report.infos) == wanted["infos"], f"infos are {report.infos}")
    if isinstance(wanted.get("warnings"), int):
        _need(len(report.warnings) == wanted["warnings"], f"warnings are {report.warnings}")


def _need(condition: bool, message: str) -> None:
    if not condition:
        raise Mismatch(message)
