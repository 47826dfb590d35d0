"""The conformance runner itself, and a quick part of the corpora on the cluster in memory."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.conformance import report
from tests.conformance.corpus import Case, Folder, folders
from tests.conformance.equality import same
from tests.conformance.interpolation import Names
from tests.conformance.left_out import groups, reason
from tests.conformance.matchers import match
from tests.conformance.memory import run_one
from tests.conformance.paths import ABSENT, walk
from tests.conformance.result import Mismatch, Outcome, failed, left_out, passed
from tests.conformance.rewinding import rewound
from tests.conformance.snapshot import Snapshot
from tests.conformance.values import build, duration, instant, iso
from tiercel.model.execution import Execution, TaskRun
from tiercel.model.state import State, StateChange

NOW = datetime(2026, 3, 1, 10, 20, 30, 123456, tzinfo=UTC)
QUICK = (
    "runner.full",
    "switch.first",
    "if.truthy-string",
    "v2.runner.full",
    "v2.restart.finally",
    "v2.pause.on-resume",
)


class NoFiles:
    """A place without files."""

    def now(self) -> datetime:
        return NOW

    async def read_file(self, uri: str) -> bytes:
        return b"content of " + uri.encode()

    def decrypt(self, cipher: str) -> str:
        return cipher[::-1]

    def http_body(self, url: str) -> Any:
        return url

    def input_file(self) -> str | None:
        return None


def matches(actual: Any, expected: Any) -> bool:
    """Tell whether a value fulfils a case's claim."""
    try:
        asyncio.run(match(actual, expected, NoFiles()))
    except Mismatch:
        return False
    return True


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.b", 1),
        ("list.[0].x", "first"),
        ("list[-1].x", "last"),
        ('["key.with.dots"]', 2),
        ("key.with.dots", 2),
        ("outer.input.txt.size", 3),
        ("a.missing", ABSENT),
        ("list.[7]", ABSENT),
    ],
)
def test_path_leads_to_its_value(path: str, expected: Any) -> None:
    """Dots step into maps, brackets into lists, and a key that holds dots is found as it is."""
    data = {
        "a": {"b": 1},
        "list": [{"x": "first"}, {"x": "last"}],
        "key.with.dots": 2,
        "outer": {"input.txt": {"size": 3}},
    }

    assert expected == walk(data, path)


@pytest.mark.parametrize(
    ("actual", "expected", "holds"),
    [
        (1, 1.0, True),
        (True, 1, False),
        ("1", 1, False),
        ([1, 2], [1, 2], True),
        ([2, 1], {"items_in_any_order": [1, 2]}, True),
        ([1, 2, 3], {"items_in_any_order": [1, 2]}, False),
        ("hello world", {"contains": ["hello", "world"]}, True),
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1, "b": 2}, {"equals": {"a": 1}}, False),
        ({"size": 7}, {"size": 7}, True),
        ([1, 2], {"size": 2}, True),
        (None, {"null": True}, True),
        ({}, {"missing": {"null": True}}, True),
        ({"x": None}, {"x": {"not_null": True}}, False),
        ([{"v": 1}, {"v": 2}], {"each": {"v": {"any_of": [1, 2]}}}, True),
        ([{"v": 1}, {"v": 2}], {"some": {"v": 2}}, True),
        ([{"v": 1}, {"v": 1}], {"count_where": [{"v": 1, "count": 2}]}, True),
        ('{"a": {"b": 1}}', {"json_text": {"a.b": 1}}, True),
        ("abc", {"matches": "a.c"}, True),
        ("abcd", {"matches": "a.c"}, False),
        (5, {"between": [1, 5]}, True),
        ("kestra:///x", {"stored_file_equals": "content of kestra:///x"}, True),
        ("2026-03-01T10:20:00Z", {"zoned_datetime_near_now": "PT1M"}, True),
        ({"value": "cba"}, {"decrypts_to": "abc"}, True),
    ],
)
def test_matcher_holds_or_not(actual: Any, expected: Any, holds: bool) -> None:
    """A scalar or list means equality; a mapping is made of matchers and paths."""
    assert holds == matches(actual, expected)


def test_mismatch_names_place_and_values() -> None:
    """Who reads a report sees where, what was found and what was expected."""
    with pytest.raises(Mismatch, match=r"value\.a\.b is 1, expected 2"):
        asyncio.run(match({"a": {"b": 1}}, {"a": {"b": 2}}, NoFiles()))


def test_dates_compare_as_instants() -> None:
    """Text and typed values of the same moment are the same."""
    assert same("2026-03-01T11:20:30.123456+01:00", NOW)
    assert same("PT1H30M", timedelta(minutes=90))
    assert not same("2026-03-01T11:20:30Z", NOW)


def test_durations_are_read_and_written_as_java_does() -> None:
    """Days become hours, and nothing is PT0S."""
    assert timedelta(days=1, hours=2) == duration("P1DT2H")
    assert "PT24H1S" == iso(timedelta(days=1, seconds=1))
    assert "PT0S" == iso(timedelta())
    assert instant("2026-03-01T10:20:30+01:00[Europe/Paris]") == instant("2026-03-01T09:20:30Z")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${now|seconds}", "2026-03-01T10:20:30Z"),
        ("${now+PT1H|hours}", "2026-03-01T11:00:00Z"),
        ("${now-PT1S|seconds|url}", "2026-03-01T10%3A20%3A29Z"),
        ("${now:yyyy-MM-dd HH:mm:ss}", "2026-03-01 10:20:30"),
        ("${now:HH:mm@Europe/Paris}", "11:20"),
        ("${f.uri} and more", "kestra:///f and more"),
        ("${e:at=0:id}", "run-a"),
        ("${e:task=b:values=[x]:outputs.value}", "of b"),
        ("${s[1].state}", "SUCCESS"),
        ("${e:inputs.file|replace_execution_id=new}", None),
    ],
)
def test_interpolation(text: str, expected: str | None) -> None:
    """`${…}` names what the steps of a case have made, the present and random ids."""
    snapshot = _snapshot()
    names = Names(NOW, {"f": {"uri": "kestra:///f"}, "e": snapshot, "s": [snapshot, snapshot]})

    found = names.fill(text)

    assert (expected or f"kestra:///{names.random_id('new')}/file") == found


def test_random_ids_stay_the_same_within_a_case() -> None:
    """One name is one id."""
    names = Names(NOW)

    assert names.fill("${id:a}") == names.fill("${id:a}")
    assert names.fill("${id:a}") != names.fill("${id:b}")


def test_unknown_name_is_a_mismatch() -> None:
    """A case that names what is not there fails with a sentence."""
    with pytest.raises(Mismatch, match="Nothing in this case is named"):
        Names(NOW).fill("${nobody.id}")


def test_typed_values(tmp_path: Path) -> None:
    """`$` keys become values of their type."""
    (tmp_path / "inputs.yaml").write_text("bases: {one: {a: 1, b: 2}}")
    folder = Folder(tmp_path)

    assert 1.5 == build({"$float32": 1.5}, folder)
    assert "ababab" == build({"$repeat": ["ab", 3]}, folder)
    assert {"a": 1, "b": 3} == build({"$base": "inputs.yaml#bases.one", "override": {"b": 3}}, folder)
    assert build({"$file": "x/y.txt"}, folder) == str(tmp_path / "x/y.txt")
    assert [timedelta(seconds=5)] == build([{"$duration": "PT5S"}], folder)


def test_rewound_execution_is_as_the_action_left_it() -> None:
    """Later entries and task runs that came of going on are left out."""
    snapshot = _snapshot(restarted=True)

    before = rewound(snapshot, "RESTARTED")

    assert "RESTARTED" == before.state
    assert ["CREATED", "RUNNING", "FAILED", "RESTARTED"] == before.history
    assert ["a", "b"] == [run.run.task_id for run in before.runs]


def test_every_entry_of_the_list_names_a_case() -> None:
    """A case that is gone from the corpora must go from the list of cases left out."""
    known = {folder.name: folder for folder in folders()}
    if not known:
        pytest.skip("There are no corpora on this machine.")
    for group in groups():
        name, _, file = group.file.partition("/")
        ids = _ids(known[name], file) if name in known else set()
        for pattern in group.cases:
            assert not ids or any(reason(each, group.file) for each in ids if _fits(each, pattern)), pattern


def test_report_counts_by_file() -> None:
    """The JSON report has every case, and counts by folder and file."""
    cases = [passed("a", "cases.yaml"), failed("b", "cases.yaml", "why"), left_out("c", "tasks.yaml", "reason")]
    lines = [report.Line(file=f"corpus/{case.file}", case=case) for case in cases]

    found = report.summary(lines, "memory")

    assert {
        "corpus/cases.yaml": {"total": 2, "passed": 1, "failed": 1, "left_out": 0},
        "corpus/tasks.yaml": {"total": 1, "passed": 0, "failed": 0, "left_out": 1},
    } == found["files"]
    assert {"id": "b", "file": "corpus/cases.yaml", "result": "failed", "why": "why"} == found["cases"][1]


def test_when_processes_have_shown_a_case_then_the_report_counts_it_apart() -> None:
    """In a real mode the report tells what running processes have shown from what only the runner's own code has."""
    shown = msgspec.structs.replace(passed("a", "inputs.yaml"), through_processes=True)
    lines = [report.Line(file=f"corpus/{one.file}", case=one) for one in (shown, passed("b", "inputs.yaml"))]

    text = report.table(lines, "postgres", tags=False, failures=False)

    assert {"corpus/inputs.yaml": 1} == report.summary(lines, "postgres")["on_processes"]
    assert "     1  corpus/inputs.yaml: same code in every mode, no process involved" in text
    assert "on processes" not in report.table(lines, "memory", tags=False, failures=False)


@pytest.mark.parametrize("case_id", QUICK)
def test_case_holds_on_the_cluster_in_memory(case_id: str) -> None:
    """Executor, worker, scheduler, indexer and webserver do together what the case says."""
    case, folder = _case(case_id)

    result = run_one(case, folder)

    assert (result.result, result.why) == (Outcome.PASSED, "")


def test_crash_of_a_case_is_its_failure() -> None:
    """A case that cannot be run fails with the reason, and the runner goes on."""
    case, folder = _case("runner.full")
    broken = msgspec.structs.replace(case, body={**case.body, "steps": [{"execute": None}]})

    result = run_one(broken, folder)

    assert result.result == Outcome.FAILED
    assert "step 1 (execute)" in result.why


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"steps": [{"no_such_verb": {}}]}, "the runner does not know the step 'no_such_verb'"),
        ({"flows": ["flows/none.yaml"]}, "the corpus has no file 'flows/none.yaml'"),
    ],
)
def test_what_the_runner_does_not_know_is_left_out_with_the_reason(change: dict[str, Any], why: str) -> None:
    """A corpus of later days may say more than the runner can judge: that is neither passed nor failed."""
    case, folder = _case("runner.full")

    result = run_one(msgspec.structs.replace(case, body={**case.body, **change}), folder)

    assert (Outcome.LEFT_OUT, why) == (result.result, result.why)


def _case(case_id: str) -> tuple[Case, Folder]:
    for folder in folders():
        for case in folder.cases("cases.yaml"):
            if case.id == case_id:
                return case, folder
    pytest.skip("There are no corpora on this machine.")


def _ids(folder: Folder, file: str) -> set[str]:
    found: set[str] = set()
    for value in (folder.data(file) or {}).values():
        if isinstance(value, list):
            found |= {str(one["id"]) for one in value if isinstance(one, dict) and "id" in one}
    return found


def _fits(case_id: str, pattern: str) -> bool:
    start = pattern.split("*", maxsplit=1)[0]
    return case_id.startswith(start)


def _snapshot(*, restarted: bool = False) -> Snapshot:
    at = [NOW + timedelta(seconds=second) for second in range(6)]
    states = [State.CREATED, State.RUNNING, State.FAILED if restarted else State.SUCCESS]
    history = [StateChange(state, moment) for state, moment in zip(states, at[:3], strict=True)]
    if restarted:
        history += [StateChange(State.RESTARTED, at[3]), StateChange(State.RUNNING, at[3])]
    execution = Execution(
        id="execution-1",
        namespace="company",
        flow_id="flow",
        flow_revision=1,
        state=history[-1].state,
        history=tuple(history),
        inputs={"file": "kestra:///execution-1/file"},
    )

    def run(seq: int, task: str, moment: datetime, parent: int | None = None, value: str | None = None) -> TaskRun:
        changes = (StateChange(State.CREATED, moment), StateChange(State.SUCCESS, moment))
        return TaskRun(
            id=f"run-{task}", seq=seq, task_id=task, state=State.SUCCESS, history=changes, parent=parent, value=value
        )

    runs = [run(0, "a", at[1]), run(1, "b", at[1], 0, "x")]
    if restarted:
        runs.append(run(2, "later", at[3]))
    return Snapshot(execution, runs, {1: {"value": "of b"}})
