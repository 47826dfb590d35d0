"""The cases of `defaults.yaml`: what plugin defaults of a flow and of the installation make of a flow."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import tests.conformance.test_plugins  # noqa: F401  (registers the types that the flows use)
from tests.conformance.corpus import Case, Folder
from tests.conformance.equality import same
from tests.conformance.result import CaseResult, judged
from tests.conformance.validation import need
from tiercel.flowspec.binder import bind_typed
from tiercel.flowspec.defaults import merge_defaults, read_defaults
from tiercel.flowspec.findings import Findings
from tiercel.flowspec.scalars import BROKEN
from tiercel.model.task import Task, Trigger

FILE = "defaults.yaml"


def run_defaults_cases(folder: Path) -> list[CaseResult]:
    """Try every case of the folder's file on plugin defaults."""
    return [judged(case, partial(_run, case)) for case in Folder(folder).cases(FILE)]


def _run(case: Case) -> None:
    body, expect = case.body, case.body["expect"]
    merged = merge_defaults(
        {**body["flow"], "pluginDefaults": body.get("flow_defaults", [])}, read_defaults(body.get("global_defaults"))
    )
    del merged["pluginDefaults"]
    if "flow_equals" in expect:
        need(merged == expect["flow_equals"], f"{merged} is not {expect['flow_equals']}")
    for name, base, where in (("task", Task, "tasks"), ("trigger", Trigger, "triggers")):
        if name in expect:
            findings = Findings()
            bound = bind_typed(base, merged[where][0], None, findings)
            need(bound is not BROKEN, f"it cannot be read: {[found.message for found in findings.found]}")
            _compare(bound, merged[where][0], expect[name])


def _compare(bound: Any, document: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for path, value in wanted.items():
        found = _value(bound, path)
        if isinstance(value, dict) and "items_in_any_order" in value:
            need(sorted(found) == sorted(value["items_in_any_order"]), f"{path} is {found!r} in {document}")
        else:
            need(_same(found, value), f"{path} is {found!r}, not {value!r}, in {document}")


def _value(bound: Any, path: str) -> Any:
    for part in path.split("."):
        bound = bound[int(part[1:-1])] if part.startswith("[") else _attribute(bound, part)
    return bound


def _attribute(bound: Any, name: str) -> Any:
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    return getattr(bound, snake)


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict) and not isinstance(found, Mapping):
        return all(_same(_attribute(found, name), part) for name, part in wanted.items())
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(_same(one, part) for one, part in zip(found, wanted, strict=True))
    return same(found, wanted)
