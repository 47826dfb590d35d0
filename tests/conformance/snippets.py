"""Fragments of flows, each bound and checked on its own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from tests.conformance.result import LeftOut
from tiercel.errors import Problem
from tiercel.flowspec.binder import bind_struct
from tiercel.flowspec.bounds import date_format_problem, json_problem
from tiercel.flowspec.findings import Findings
from tiercel.flowspec.fragment import check_task_document, check_trigger_document
from tiercel.flowspec.inputrule import pattern_problem
from tiercel.flowspec.parse import check_document
from tiercel.flowspec.retryrule import retry_problems
from tiercel.flowspec.scalars import BROKEN
from tiercel.flowspec.triggerrule import filter_problem, time_window_problems, window_problems, zone_problem
from tiercel.flowspec.validate import default_problems, sla_needs
from tiercel.model.flow import PluginDefault, Sla
from tiercel.model.task import RFC1123_LABEL, Retry
from tiercel.plugins.core.trigger.flow import PreconditionFilter, TimeWindow, Window


def snippet_problems(kind: str, value: Any) -> list[Problem]:
    """Return what is wrong with a fragment of this kind."""
    match kind:
        case "task":
            return check_task_document(value)
        case "trigger":
            return check_trigger_document(value)
        case "flow":
            return list(check_document(value).problems)
        case "regex":
            return _one(pattern_problem(value["pattern"]), "pattern")
        case "timezone":
            return _one(zone_problem(value["timezone"]), "timezone")
        case "rfc1123_label":
            return _one(None if re.fullmatch(RFC1123_LABEL, value) and len(value) <= 63 else "no label")
        case "json_string":
            return _one(json_problem(value["json"]), "json")
        case "date_format":
            found = [(name, date_format_problem(pattern)) for name, pattern in value.items()]
            return [Problem(name, message) for name, message in found if message is not None]
        case "retry" | "sla" | "plugin_default" | "precondition_filter" | "time_window" | "window":
            return _model(kind, value)
        case _:
            raise LeftOut(f"'{kind}' is an annotation of Java models that no property of the flow language has")


def _one(message: str | None, path: str = "") -> list[Problem]:
    return [] if message is None else [Problem(path, message)]


def _model(kind: str, value: Any) -> list[Problem]:
    models: dict[str, Any] = {
        "retry": Retry,
        "sla": Sla,
        "plugin_default": PluginDefault,
        "precondition_filter": PreconditionFilter,
        "time_window": TimeWindow,
        "window": Window,
    }
    findings = Findings()
    bound = bind_struct(models[kind], value, None, findings)
    problems = findings.problems(None)
    if bound is not BROKEN:
        problems += [Problem(path, message) for path, message in _rules(bound)]
    return problems


def _rules(bound: Any) -> Iterable[tuple[str, str]]:
    match bound:
        case Retry():
            return retry_problems(bound)
        case Sla():
            return [(name, "must not be null") for name in sla_needs(bound)]
        case PluginDefault():
            return default_problems(bound)
        case PreconditionFilter():
            message = filter_problem(bound)
            return [("", message)] if message else []
        case TimeWindow():
            return [("", message) for message in time_window_problems(bound)]
        case _:
            return [("", message) for message in window_problems(bound)]
