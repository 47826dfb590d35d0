"""
The cases of `invalid/expected.yaml`: texts, fragments and single tasks that are valid or refused, with what is said.

Where a case counts violations: problems of the flow as a whole ("Invalid Flow: …") are one, as they are there. A parser
that stops at the first problem cannot be compared in number with one that reports all, so at the stage `parse` there
must be at least one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml

import tests.conformance.test_plugins  # noqa: F401  (registers the types that the flows use)
from tests.conformance.corpus import Case, Folder
from tests.conformance.result import CaseResult, LeftOut, Mismatch, judged
from tests.conformance.snippets import snippet_problems
from tests.conformance.stages import http_documents
from tiercel.definitions.memory import MemoryDefinitions
from tiercel.definitions.revision import next_revision
from tiercel.errors import Problem
from tiercel.flowspec.document import flow_document
from tiercel.flowspec.findings import NewerRules
from tiercel.flowspec.fragment import check_task_document, check_trigger_document
from tiercel.flowspec.parse import Outside, Report, check_document, check_flow, parse_flow, update_problems
from tiercel.flowspec.places import placed_tasks

FILE = "invalid/expected.yaml"


def run_validation_cases(folder: Path) -> list[CaseResult]:
    """Try every case of the folder's file on validation."""
    corpus = Folder(folder)
    runs: tuple[tuple[str, Callable[[Folder, Case], None]], ...] = (
        ("flows", _flow_case),
        ("parse", _parse_case),
        ("snippets", _snippet_case),
        ("flow_service", _service_case),
    )
    return [judged(case, partial(run, corpus, case)) for key, run in runs for case in corpus.cases(FILE, key)]


def need(condition: bool, message: str) -> None:
    """Raise a mismatch when something does not hold."""
    if not condition:
        raise Mismatch(message)


def check_text(expect: Mapping[str, Any], text: str) -> None:
    """Raise a mismatch when the text of an error is not what the case expects."""
    contains = expect.get("contains", [])
    for part in [contains] if isinstance(contains, str) else contains:
        need(part in text, f"{part!r} is not in {text!r}")
    if "equals" in expect:
        need(text == expect["equals"], f"{text!r} is not {expect['equals']!r}")
    if "lines_in_any_order" in expect:
        need(sorted(text.splitlines()) == sorted(expect["lines_in_any_order"]), f"got {text!r}")


def joined(problems: Sequence[Problem]) -> str:
    """Write problems as the cases compare them: "path: text" and a line break for each."""
    return "".join(f"{problem.path}: {problem.message}\n" for problem in problems)


def violations(problems: Sequence[Problem]) -> int:
    """Count problems as the cases do."""
    whole = [problem for problem in problems if problem.message.startswith("Invalid Flow: ")]
    return len(problems) - max(0, len(whole) - 1)


def check_problems(problems: Sequence[Problem], expect: dict[str, Any], *, count: bool = True) -> None:
    """Compare problems with what a case expects of them."""
    text = joined(problems)
    if expect.get("valid") is True:
        need(not problems, f"refused: {text}")
        return
    need(bool(problems), "accepted, but should be refused")
    for part in expect.get("contains", []):
        need(part in text, f"{part!r} is not in {text!r}")
    if "starts_with" in expect:
        need(any(problem.message.startswith(expect["starts_with"]) for problem in problems), f"got {text!r}")
    if "equals" in expect:
        single = problems[0].message if len(problems) == 1 else text
        need(expect["equals"] in (text, single), f"{text!r} is not {expect['equals']!r}")
    if "each_equals" in expect:
        need(all(problem.message == expect["each_equals"] for problem in problems), f"got {text!r}")
    if "each_contains" in expect:
        need(all(expect["each_contains"] in problem.message for problem in problems), f"got {text!r}")
    if "each_any_of" in expect:
        fitting = [
            problem for problem in problems for choice in expect["each_any_of"] if _fits(problem.message, choice)
        ]
        need(bool(fitting), f"got {text!r}")
    for part, number in expect.get("count_containing", {}).items():
        found = sum(part in problem.message for problem in problems)
        need(found == number, f"{found} problems hold {part!r}, not {number}: {text!r}")
    _check_paths([problem.path for problem in problems], expect)
    if count and "violations" in expect:
        need(violations(problems) == expect["violations"], f"{violations(problems)} problems: {text!r}")


def _fits(message: str, choice: dict[str, str]) -> bool:
    return message == choice["equals"] if "equals" in choice else choice["contains"] in message


def _check_paths(paths: list[str], expect: dict[str, Any]) -> None:
    if "property_path" in expect and "->" not in expect["property_path"]:
        need(expect["property_path"] in paths, f"{expect['property_path']!r} is not among {paths}")
    if "property_path_starts_with" in expect:
        need(any(path.startswith(expect["property_path_starts_with"]) for path in paths), f"paths are {paths}")
    if "property_path_contains" in expect:
        need(any(expect["property_path_contains"] in path for path in paths), f"paths are {paths}")


def _source(corpus: Folder, case: Case) -> str:
    body = case.body
    if "flow" in body and not isinstance(body["flow"], str):
        return yaml.safe_dump(body["flow"], sort_keys=False)
    return str(body.get("flow") or corpus.text(body["file"]))


def _flow_case(corpus: Folder, case: Case) -> None:
    body, expect = case.body, case.body["expect"]
    stage = body["stage"]
    if stage in ("http_validate", "http_validate_multipart", "cli_validate_local"):
        http_documents(corpus, body)
        return
    if stage in ("http_validate_task", "http_validate_trigger"):
        check = check_task_document if stage == "http_validate_task" else check_trigger_document
        problems = check(json.loads(corpus.text(body["file"])))
        if "constraints" in expect and expect["constraints"] is None:
            need(not problems, f"refused: {joined(problems)}")
            return
        named = "".join(f"path: {problem.path}, message: {problem.message}\n" for problem in problems)
        for part in expect.get("contains", []):
            need(part in named, f"{part!r} is not in {named!r}")
        return
    source = _source(corpus, case)
    if stage == "parse_lenient":
        flow = parse_flow(source, strict=False)
        for name, value in expect.get("flow", {}).items():
            need(getattr(flow, name) == value, f"{name} is {getattr(flow, name)!r}")
        return
    problems = list(check_flow(source).problems)
    if stage in ("validate_update", "http_update"):
        previous = parse_flow(corpus.text(body["previous"]))
        problems += update_problems(parse_flow(source), previous)
    if "http_status" in expect:
        need(bool(problems) == (expect["http_status"] >= 400), f"problems are {joined(problems)!r}")
    check_problems(problems, {"invalid": True, **expect}, count=stage != "parse")


def _parse_case(corpus: Folder, case: Case) -> None:
    body, expect = case.body, case.body["expect"]
    source = _source(corpus, case)
    flow = parse_flow(source)
    document = flow_document(flow)
    if "update_task" in body:
        raise LeftOut("replacing one task of a flow in memory is not something that Tiercel offers")
    if "json_equals" in expect:
        wanted = json.loads(expect["json_equals"])
        need(document == wanted, f"{json.dumps(document)} is not {expect['json_equals']}")
    text = json.dumps(document, separators=(",", ":"))
    for part in expect.get("json_contains", []):
        need(part in text, f"{part} is not in {text}")
    for part in expect.get("json_not_contains", []):
        need(part not in text, f"{part} is in {text}")
    if "yaml_equals" in expect:
        need(document == yaml.safe_load(expect["yaml_equals"]), f"{document} is another document")
    if "parse_again" in expect:
        again = parse_flow(yaml.safe_dump(document, sort_keys=False))
        need(len(again.labels) == expect["parse_again"]["labels_count"], f"labels are {again.labels}")
    if "id" in expect:
        need(flow.id == expect["id"], f"the id is {flow.id}")
    if "tasks_count" in expect:
        need(len(flow.tasks) == expect["tasks_count"], f"{len(flow.tasks)} tasks")
    if "all_task_and_trigger_ids_count" in expect:
        found = len([*placed_tasks(flow), *flow.triggers])
        need(found == expect["all_task_and_trigger_ids_count"], f"{found} ids")
    for key, wanted in expect.items():
        if key.startswith("tasks."):
            _check_task(flow.tasks[int(key[6:])], wanted)


def _check_task(task: Any, wanted: dict[str, Any]) -> None:
    retry = wanted.get("retry", {})
    need(task.timeout == wanted.get("timeout"), f"the timeout is {task.timeout!r}")
    if retry:
        need(task.retry.type == retry["type"], f"the retry's type is {task.retry.type}")
        attempts = retry.get("maxAttempt", retry.get("maxAttempts"))
        need(task.retry.max_attempts == attempts, f"attempts are {task.retry.max_attempts}")
        need(task.retry.interval.total_seconds() == retry["interval_seconds"], f"the interval is {task.retry.interval}")


def _snippet_case(corpus: Folder, case: Case) -> None:
    body = case.body
    kind, value = body["kind"], body["value"]
    if isinstance(value, dict) and "each_value" in value:
        for each in value["each_value"]:
            problems = snippet_problems(kind, each)
            need(bool(problems) is (body["expect"].get("valid") is False), f"{each!r}: {joined(problems)!r}")
        return
    check_problems(snippet_problems(kind, value), body["expect"])


async def _found_below(body: dict[str, Any], expect: dict[str, Any]) -> None:
    store = MemoryDefinitions()
    for name in body["stored_flows"]:
        namespace, _, flow_id = name.partition("/")
        await store.create(parse_flow(_ONE_TASK.format(id=flow_id, namespace=namespace)))
    rows, _ = await store.search("main", namespace=body["find_by_namespace_prefix"], size=100)
    found = sorted(row.id for row in rows)
    need(found == sorted(expect["ids_in_any_order"]), f"found are {found}")


async def _imported(steps: Sequence[dict[str, Any]]) -> None:
    """Import flows one after another; a dry run parses and counts, and stores nothing."""
    store, sources = MemoryDefinitions(), []
    for step in steps:
        flow, expect = parse_flow(step["import"]), step["expect"]
        before = await store.row("main", flow.namespace, flow.id)
        if step.get("dry_run"):
            revision = next_revision(before, flow)
        elif before is None:
            revision = (await store.create(flow)).revision or 0
        else:
            revision = (await store.update(flow)).revision or 0
        if not step.get("dry_run"):
            sources.append(flow.source)
        stored = await store.row("main", flow.namespace, flow.id)
        found = {
            "id": flow.id,
            "namespace": flow.namespace,
            "revision": revision,
            "tasks_count": len(flow.tasks),
            "first_task": flow.tasks[0].id,
            "stored_revision": stored.revision if stored else None,
            "stored_source": "the first one" if stored and stored.source == sources[0] else "another one",
        }
        wrong = {name: found[name] for name, value in expect.items() if found[name] != value}
        need(not wrong, f"{wrong} is not {expect}")


_ONE_TASK: Final = (
    "id: {id}\nnamespace: {namespace}\ntasks:\n- id: one\n  type: io.kestra.plugin.core.debug.Return\n  format: a\n"
)


def _service_case(corpus: Folder, case: Case) -> None:
    body, expect = case.body, case.body.get("expect", {})
    if "find_by_namespace_prefix" in body:
        asyncio.run(_found_below(body, expect))
        return
    if "import" in str(body.get("steps", "")):
        asyncio.run(_imported(body["steps"]))
        return
    if "flow" not in body and "flow_source" not in body:
        raise LeftOut("import, listing and revisions of flows are tried through the API (cases.yaml), not here")
    report: Report
    if "flow_source" in body:
        report = check_flow(body["flow_source"], Outside(newer_rules=NewerRules.WARN, judges_constants=False))
    else:
        report = check_document(body["flow"], Outside(newer_rules=NewerRules.WARN, judges_constants=False))
    warnings = expect.get("warnings", expect.get("validate", {}).get("warnings_in_any_order"))
    if warnings is not None:
        need(sorted(report.warnings) == sorted(warnings), f"warnings are {report.warnings}")
    if "relocations_count" in expect:
        need(len(report.relocations) == expect["relocations_count"], f"relocations are {report.relocations}")
        first = expect["first"]
        need(report.relocations[0] == (first["from"], first["to"]), f"the first is {report.relocations[0]}")
    if "deprecation_paths_in_any_order" in expect:
        wanted = sorted(expect["deprecation_paths_in_any_order"])
        need(sorted(report.deprecations) == wanted, f"deprecations are {report.deprecations}")
