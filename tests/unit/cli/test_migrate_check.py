"""`tiercel migrate check`: what becomes of flows that were written for Kestra."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tiercel.cli import expressioncheck
from tiercel.cli.main import main

LOG = "io.kestra.plugin.core.log.Log"
FINE = f"id: fine\nnamespace: demo\ntasks:\n  - id: log\n    type: {LOG}\n    message: hi\n"
OLDER = f"""\
id: older
namespace: demo
listeners: []
tasks:
  - id: old
    type: io.kestra.core.tasks.log.Log
    message: hi
  - id: echo
    type: io.kestra.plugin.core.debug.Echo
    format: hi
  - id: wait
    type: io.kestra.plugin.core.flow.Pause
    delay: PT1S
  - id: loop
    type: io.kestra.plugin.core.flow.ForEach
    values: [1]
    tasks:
      - id: inner
        type: {LOG}
        message: hi
"""
MISSING = """\
id: missing
namespace: demo
tasks:
  - id: query
    type: io.kestra.plugin.jdbc.postgresql.Query
    sql: SELECT 1
  - id: log
    type: io.kestra.plugin.core.log.Log
    message: hi
    colour: red
"""
INVALID = f'id: invalid\nnamespace: demo\ntasks:\n  - id: log\n    type: {LOG}\n    message: "{{{{ a | b() }}}}"\n'
TEMPLATE = """\
id: template
namespace: demo
tasks:
  - id: call
    type: io.kestra.plugin.core.flow.Template
    namespace: demo
    templateId: other
"""


def check(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["migrate", "check", *arguments])
    return code, capsys.readouterr().out


def test_a_flow_that_is_up_to_date_runs_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is said of it, and the code is 0."""
    file = tmp_path / "fine.yaml"
    file.write_text(FINE)

    assert (0, f"{file}: demo.fine runs as it is\n\n1 flow: 1 runs as it is\n") == check(capsys, str(file))


def test_names_that_are_not_the_newest_are_shown_with_their_places(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Older names with what they are called now, what is deprecated, and what 2.0 took away; it runs all the same."""
    file = tmp_path / "older.yaml"
    file.write_text(OLDER.replace("listeners: []", "labels: {a: b}"))

    code, said = check(capsys, str(file))

    assert 0 == code
    assert [
        f"{file}: demo.older runs, with older names",
        f"       6:5  older name of a type: io.kestra.core.tasks.log.Log, now {LOG}",
        "       9:5  deprecated type: io.kestra.plugin.core.debug.Echo",
        "      13:5  older name of a property: delay, now pauseDuration",
        "      15:5  type gone in 2.0: io.kestra.plugin.core.flow.ForEach",
    ] == said.splitlines()[:5]


def test_warnings_are_shown_with_their_places(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A flow with warnings runs: what it is called says so."""
    file = tmp_path / "dubious.yaml"
    file.write_text(
        f"{FINE}triggers:\n  - id: never\n    type: io.kestra.plugin.core.trigger.Schedule\n    cron: 0 0 30 2 *\n"
    )

    code, said = check(capsys, str(file))

    assert 0 == code
    assert "demo.fine runs as it is" in said
    assert "10:5  warning: The trigger 'never' never fires: no date meets the cron expression '0 0 30 2 *'." in said


def test_what_is_missing_here_is_shown_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Types and properties that do not exist; the code is 1."""
    (tmp_path / "missing.yaml").write_text(MISSING)
    (tmp_path / "fine.yml").write_text(FINE)
    (tmp_path / "notes.txt").write_text("no flow")

    code, said = check(capsys, str(tmp_path))

    assert 1 == code
    assert [
        f"{tmp_path}/missing.yaml: demo.missing lacks something",
        "       5:5  unknown type: io.kestra.plugin.jdbc.postgresql.Query",
        "      10:5  unknown property: colour",
        "",
        "Types that do not exist here, and how often they are used:",
        "       1  io.kestra.plugin.jdbc.postgresql.Query",
        "",
        "2 flows: 1 runs as it is, 1 lacks something",
    ] == said.splitlines()[1:]


def test_what_is_no_flow_is_said_and_fails_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Suites of flow tests and other YAML lie beside flows."""
    (tmp_path / "a.yaml").write_text("id: s\nnamespace: demo\nflowId: fine\ntestCases: []\n")
    (tmp_path / "compose.yml").write_text("services: {}\n")
    (tmp_path / "fine.yaml").write_text(FINE)

    code, said = check(capsys, str(tmp_path))

    assert 0 == code
    assert [
        f"{tmp_path}/a.yaml: demo.s is a suite of flow tests: see 'tiercel flow test'",
        f"{tmp_path}/compose.yml: ? is no flow",
        f"{tmp_path}/fine.yaml: demo.fine runs as it is",
        "",
        "1 flow: 1 runs as it is",
    ] == said.splitlines()


def test_types_of_inputs_that_are_gone_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Wherever inputs stand in one another, and whatever else the flow lacks."""
    inputs = "inputs:\n  - {id: a, type: BOOLEAN}\n  - {id: b, type: ENUM, values: [x]}\n"
    file = tmp_path / "missing.yaml"
    file.write_text(MISSING + inputs)

    _, said = check(capsys, str(file))

    assert "12:13  type of an input gone in 2.0: BOOLEAN, now BOOL" in said
    assert "13:13  type of an input gone in 2.0: ENUM, now SELECT" in said


def test_a_template_runs_though_its_type_is_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What 2.0 took away is named, and kept running."""
    file = tmp_path / "template.yaml"
    file.write_text(TEMPLATE)

    code, said = check(capsys, str(file))

    assert 0 == code
    assert "type gone in 2.0: io.kestra.plugin.core.flow.Template" in said


def test_programs_get_the_same_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each note with its place, a summary, and the missing types."""
    file = tmp_path / "all.yaml"
    file.write_text("---\n".join([FINE, OLDER.replace("listeners: []\n", ""), MISSING, INVALID]))

    code, said = check(capsys, str(file), "--format", "json")

    report = json.loads(said)
    assert 1 == code
    assert {"runs": 1, "older": 1, "missing": 1, "invalid": 1, "unreadable": 0} == report["summary"]
    assert {"io.kestra.plugin.jdbc.postgresql.Query": 1} == report["missingTypes"]
    invalid = report["flows"][-1]
    assert ("demo.invalid", "is not valid") == (invalid["flow"], invalid["status"])
    assert "Filter 'b' does not exist." in invalid["notes"][0]["message"]
    assert (invalid["notes"][0]["line"], invalid["notes"][0]["column"]) > (30, 0)


def test_a_path_without_flows_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And so does a file that cannot be read: there is nothing to report on."""
    assert 2 == main(["migrate", "check", str(tmp_path)])
    assert "There is no flow in what was named" in capsys.readouterr().err
    assert 2 == main(["migrate", "check", str(tmp_path / "none.yaml")])
    assert "Cannot read the flow file" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_reported_beside_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report goes on after it, and the code is 1."""
    (tmp_path / "a.yaml").write_bytes(b"id: \xff\xfe")
    (tmp_path / "fine.yaml").write_text(FINE)

    code, said = check(capsys, str(tmp_path), str(tmp_path / "none.yaml"))

    assert 1 == code
    assert [
        f"{tmp_path}/a.yaml: ? cannot be read",
        f"         -  problem: Cannot read the flow file '{tmp_path}/a.yaml': it is not UTF-8 text.",
        f"{tmp_path}/fine.yaml: demo.fine runs as it is",
        f"{tmp_path}/none.yaml: ? cannot be read",
        f"         -  problem: Cannot read the flow file '{tmp_path}/none.yaml': No such file or directory.",
        "",
        "1 flow: 1 runs as it is, 2 cannot be read",
    ] == said.splitlines()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{ x | upper }}{{ now() }}{{ x is defined }}", None),
        ("{{ x | json }}", None),
        ("{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1) }}", None),
        ("{{ nobody(1) }}", "Function 'nobody' does not exist."),
        ("{% if x is odder %}{% endif %}", "Test 'odder' does not exist."),
        ("{% filter nofilter %}x{% endfilter %}", "Filter 'nofilter' does not exist."),
        ("{% nothing %}", 'Unexpected tag name "nothing".'),
    ],
)
def test_names_that_no_dialect_knows_are_found(text: str, reason: str | None) -> None:
    """What one of the dialects knows is good: the flow decides which it is of."""
    found = expressioncheck.problem(text)

    assert found == reason or (found is not None and reason is not None and reason in found)
