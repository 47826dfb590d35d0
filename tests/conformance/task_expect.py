"""What a run of `tasks.yaml` must leave: outputs, an error, logs, metrics, keys and files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from tests.conformance.equality import same
from tests.conformance.matchers import match
from tests.conformance.problems import check_error
from tests.conformance.result import LeftOut, Mismatch, only
from tests.conformance.values import duration, instant
from tiercel.errors import NotFound, TaskFailed
from tiercel.model.execution import LogEntry
from tiercel.storage.namespace_files import NamespaceFolder

if TYPE_CHECKING:
    from tests.conformance.tasks import Place
    from tiercel.worker.single import RunOutcome


def _claim(holds: bool, sentence: str) -> None:
    if not holds:
        raise Mismatch(sentence)


async def check(place: Place, operation: str, outcome: RunOutcome, expected: Mapping[str, Any]) -> None:
    """Hold what a run has left against what the case expects."""
    if "error" in expected:
        await _check_failure(place, outcome, expected["error"])
    elif outcome.error is not None:
        raise Mismatch(f"It failed: {outcome.error}")
    for key, wanted in expected.items():
        if key != "error":
            await _check_one(place, operation, key, outcome, wanted)


async def _check_failure(place: Place, outcome: RunOutcome, wanted: Mapping[str, Any]) -> None:
    if outcome.error is None:
        raise Mismatch(f"It ended {outcome.state} with {outcome.outputs}, expected an error")
    check_error(outcome.exception or TaskFailed(outcome.error), wanted)
    if "outputs" in wanted:
        await match(outcome.outputs.get("vars", outcome.outputs), wanted["outputs"], place, "outputs of the failure")
    if "response_code" in wanted and str(wanted["response_code"]) not in outcome.error:
        raise Mismatch(f"The error is {outcome.error!r}, expected the code {wanted['response_code']}")


async def _check_one(place: Place, operation: str, key: str, outcome: RunOutcome, wanted: Any) -> None:
    outputs = outcome.outputs
    match key:
        case "outputs":
            found = outputs.get("vars", {}) if operation == "run_commands" else outputs
            await match(found, wanted, place, "outputs")
        case "exit_code":
            _claim(outputs.get("exitCode") == wanted, f"The exit code is {outputs.get('exitCode')}")
        case "vars_absent":
            vars_ = outputs.get("vars") or {}
            _claim(not any(name in vars_ for name in wanted), f"The variables are {vars_}")
        case "env_absent":
            return  # the command of the case does not print its environment
        case "stdout_count":
            count = outputs.get("stdOutLineCount")
            _claim(count == wanted, f"{count} lines were printed, expected {wanted}")
        case "stderr_count":
            _claim(outputs.get("stdErrLineCount") == wanted, f"{outputs.get('stdErrLineCount')} lines of errors")
        case "count":
            files = outputs.get("outputFiles") or {}
            _claim(len(files) == wanted, f"The output files are {files}, expected {wanted}")
        case "has_keys" | "output_files":
            body = {"has_keys": wanted} if key == "has_keys" else wanted
            await _output_files(place, outputs.get("outputFiles") or {}, body)
        case "logs":
            check_logs(outcome.logs, wanted)
        case "logs_by_level":
            levels = Counter(line.level for line in outcome.logs)
            _claim(all(levels[level] == count for level, count in wanted.items()), f"The levels are {dict(levels)}")
        case "metrics":
            check_metrics(outcome.metrics, wanted)
        case "metrics_count":
            _claim(len(outcome.metrics) == wanted, f"The metrics are {outcome.metrics}")
        case _:
            await _check_place(place, key, wanted)


async def _output_files(place: Place, files: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    # The file holds the path of the file itself: Java compares its end.
    await match(files, wanted, place, "output files")


_LINE_TESTS: Final[dict[str, Callable[[LogEntry, Any], bool]]] = {
    "level": lambda line, wanted: line.level == wanted,
    "equals": lambda line, wanted: line.message == wanted,
    "contains": lambda line, wanted: all(
        part in line.message for part in (wanted if isinstance(wanted, list) else [wanted])
    ),
    "starts_with": lambda line, wanted: line.message.startswith(wanted),
    "ends_with": lambda line, wanted: line.message.endswith(wanted),
    "matches": lambda line, wanted: re.fullmatch(wanted, line.message, re.DOTALL) is not None,
}


def check_logs(lines: Sequence[LogEntry], wanted: Sequence[Mapping[str, Any]]) -> None:
    """Hold lines of log against entries: each must be met by so many of them, by one when it names no number."""
    texts = [f"{line.level} {line.message}" for line in lines]
    for entry in wanted:
        tests = {key: value for key, value in entry.items() if key not in ("count", "count_min")}
        only(tests, _LINE_TESTS, "the claim on a line of log")
        found = [line for line in lines if all(_LINE_TESTS[key](line, value) for key, value in tests.items())]
        if "count" in entry:
            _claim(len(found) == entry["count"], f"{len(found)} lines are {entry}: {texts}")
        else:
            _claim(len(found) >= entry.get("count_min", 1), f"{len(found)} lines are {entry}: {texts}")


def check_metrics(metrics: Sequence[Mapping[str, Any]], wanted: Any) -> None:
    """Hold metrics against a map of name and value, or a list of entries."""
    entries = [{"name": name, "value": value} for name, value in wanted.items()] if isinstance(wanted, dict) else wanted
    for entry in entries:
        value = duration(entry["value"]).total_seconds() if isinstance(entry["value"], str) else entry["value"]
        tags = entry.get("tags")
        found = [
            one
            for one in metrics
            if one["name"] == entry["name"]
            and same(one["value"], value)
            and (tags is None or {key: one.get("tags", {}).get(key) for key in tags} == tags)
        ]
        _claim(bool(found), f"The metrics are {metrics}, expected {entry}")


async def _check_place(place: Place, key: str, wanted: Any) -> None:
    match key:
        case "kv":
            await _kv(place, wanted)
        case "kv_keys":
            for one in wanted:
                await _kv_keys(place, one)
        case "kv_revisions":
            await _kv_revisions(place, wanted)
        case "namespace_files":
            await _namespace_files(place, wanted)
        case "working_dir":
            for name, content in wanted["files"].items():
                found = (place.working_dir / name).read_text("utf-8")
                _claim(found == content, f"The file '{name}' holds {found!r}, expected {content!r}")
        case "files":
            for alias, there in wanted.items():
                found_there = await place.storage.exists(place.tenant, place.names.aliases[alias]["uri"])
                _claim(found_there == there, f"The file '{alias}' is {'there' if found_there else 'gone'}")
        case _:
            raise LeftOut(f"the runner does not know how to check '{key}' of a run")


async def _kv(place: Place, wanted: Mapping[str, Any]) -> None:
    namespace, key = wanted["namespace"], wanted["key"]
    try:
        value = await place.keys.get(namespace, key)
    except NotFound:
        raise Mismatch(f"The key '{key}' has no value in '{namespace}'") from None
    if "value" in wanted:
        await match(value, wanted["value"], place, f"value of '{key}'")
    entry = await place.keys.entry(namespace, key)
    assert entry is not None
    if "expiration" in wanted:
        _claim(entry.expiration_date is None, f"The value expires at {entry.expiration_date}")
    if "expiration_between" in wanted:
        first, last = (instant(at) if isinstance(at, str) else at for at in wanted["expiration_between"])
        at = entry.expiration_date
        _claim(at is not None and first <= at <= last, f"The value expires at {at}, expected {first} to {last}")
    if "description" in wanted:
        _claim(entry.description == wanted["description"], f"The description is {entry.description!r}")


async def _kv_keys(place: Place, wanted: Mapping[str, Any]) -> None:
    keys = [entry.key for entry in await place.keys.entries(wanted["namespace"], expired=True)]
    for key in wanted.get("present", []):
        _claim(key in keys, f"The keys are {keys}, expected '{key}'")
    for key in wanted.get("absent", []):
        _claim(key not in keys, f"The keys are {keys}, expected no '{key}'")
    if "all_entries" in wanted:
        _claim(sorted(keys) == sorted(wanted["all_entries"]), f"The keys are {keys}, expected {wanted['all_entries']}")


async def _kv_revisions(place: Place, wanted: Mapping[str, Any]) -> None:
    versions = await place.keys.versions(wanted["namespace"], wanted["key"])
    found = [version.description for version in versions]
    _claim(found == wanted["descriptions"], f"The descriptions are {found}, expected {wanted['descriptions']}")


async def _namespace_files(place: Place, wanted: Mapping[str, Any]) -> None:
    files = NamespaceFolder(place.storage, place.tenant, wanted["namespace"])
    if "revisions" in wanted:
        found = [each.revision for each in await files.revisions(wanted["path"])]
        _claim(found == wanted["revisions"], f"The revisions are {found}, expected {wanted['revisions']}")
    paths = await files.paths()
    if "count" in wanted:
        count = len(paths) + (await _folders(place, wanted["namespace"]) if wanted.get("folders") else 0)
        _claim(count == wanted["count"], f"The files are {paths}, expected {wanted['count']}")
    if "paths" in wanted:
        _claim(sorted(paths) == sorted(wanted["paths"]), f"The files are {paths}, expected {wanted['paths']}")
    if "capture_content" in wanted:
        place.names.aliases[wanted["capture_content"]] = await place.read_file(files.uri(paths[0]))
    if "content_differs_from" in wanted:
        content = await place.read_file(files.uri(paths[0]))
        _claim(content != place.names.aliases[wanted["content_differs_from"]], "The content is the same as before")


async def _folders(place: Place, namespace: str) -> int:
    root = NamespaceFolder(place.storage, place.tenant, namespace).uri("/")
    try:
        every = await place.storage.by_prefix(place.tenant, root, directories=True)
    except NotFound:
        return 0
    return len(every) - len(await place.storage.by_prefix(place.tenant, root))
