"""`tiercel flow test`: suites run on all that runs flows, in one process."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tiercel.cli.main import main

ROOT = Path(__file__).parents[2]
FLOW = """
id: shop
namespace: company.team
inputs:
  - {id: amount, type: INT, defaults: 1}
  - {id: list, type: FILE, required: false}
tasks:
  - id: fetch
    type: io.kestra.plugin.core.http.Request
    uri: http://127.0.0.1:1/nobody
  - id: upper
    type: io.kestra.plugin.core.debug.Return
    format: "{{ outputs.fetch.body | upper }} {{ inputs.amount }}"
  - id: each
    type: io.kestra.plugin.core.flow.ForEach
    values: [a, b]
    tasks:
      - id: inner
        type: io.kestra.plugin.core.debug.Return
        format: "real {{ taskrun.value }}"
errors:
  - id: sorry
    type: io.kestra.plugin.core.output.OutputValues
    values: {why: unreachable}
outputs:
  - {id: said, type: STRING, value: "{{ outputs.upper.value ?? '' }}"}
triggers:
  - id: always
    type: io.kestra.plugin.core.trigger.Schedule
    cron: "* * * * * *"
    withSeconds: true
"""
SUITE = """
id: shop_tests
namespace: company.team
flowId: shop
testCases:
  - id: good
    type: io.kestra.core.tests.flow.UnitTest
    fixtures:
      inputs: {amount: "{{ 6 * 7 }}"}
      files: {page.txt: "from a file"}
      tasks:
        - {id: fetch, outputs: {body: "{{ read(files['page.txt']) }}"}}
        - {id: inner, value: b, outputs: {value: made up}}
    assertions:
      - {value: "{{ outputs.upper.value }}", equalTo: FROM A FILE 42}
      - {value: "{{ execution.outputs.said }}", endsWith: "42"}
      - {value: "{{ outputs.inner.a.value }}", equalTo: real a}
      - {value: "{{ outputs.inner.b.value }}", equalTo: made up}
      - {value: "{{ taskrun.value }}", taskId: inner, in: [a, b]}
  - id: wrong
    fixtures:
      tasks:
        - {id: fetch, outputs: {body: x}}
    assertions:
      - {value: "{{ outputs.upper.value }}", equalTo: Y, errorMessage: not shouted}
      - {value: "{{ outputs.upper.valeu }}", isNotNull: true}
  - id: handled
    fixtures:
      tasks:
        - {id: fetch, state: FAILED}
    assertions:
      - {value: "{{ outputs.sorry['values'].why }}", equalTo: unreachable}
    expectedState: FAILED
  - id: really_run
    fixtures: {}
  - id: off
    disabled: true
  - id: bad_input
    fixtures: {inputs: {amount: many}}
  - id: bad_task
    fixtures: {tasks: [{id: fetsh}]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.yaml").write_text(FLOW)
    (tmp_path / "shop_tests.yaml").write_text(SUITE)
    return tmp_path


def test_a_suite_is_run_and_judged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fixtures stand for tasks and iterations, claims are judged, what fails is explained; triggers do not fire."""
    report = folder / "report.xml"

    code = main(["flow", "test", str(folder / "shop_tests.yaml"), "--junit", str(report)])

    said = capsys.readouterr().out
    lines = said.splitlines()
    cases = {line.split()[1]: line.split()[0] for line in lines if line[:2] == "  " and line[2] != " "}
    expected = {"good": "✔", "wrong": "✘", "handled": "✔", "really_run": "✘", "off": "-"}
    assert {**expected, "bad_input": "✘", "bad_task": "✘"} == cases
    assert 1 == code
    assert "      not shouted: expected 'X 1' to be equal to 'Y'" in lines
    assert any("valeu" in line for line in lines)
    assert "      the execution ended FAILED" in lines
    assert any(line.startswith("      fetch | ") for line in lines)
    assert any("does not have: 'fetsh'" in line for line in lines)
    assert "7 cases: 2 SUCCESS, 2 FAILED, 2 ERROR, 1 SKIPPED" == lines[-1]
    suite = ElementTree.parse(report).getroot()[0]
    assert ("7", "2", "2", "1") == tuple(suite.attrib[key] for key in ("tests", "failures", "errors", "skipped"))
    failures = [each.attrib["message"] for each in suite.findall("testcase[@name='wrong']/failure")]
    assert ["not shouted: expected 'X 1' to be equal to 'Y'"] == failures


def test_one_case_can_be_chosen(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only that one is run; all that runs succeeds, so the code is 0."""
    code = main(["flow", "test", str(folder), "--case", "good"])

    assert (0, "1 cases: 1 SUCCESS") == (code, capsys.readouterr().out.splitlines()[-1])


def test_the_files_of_a_namespace_can_be_given(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the flow would find them on a server."""
    files = folder / "files"
    files.mkdir()
    (files / "page.txt").write_text("of the namespace")
    (folder / "shop_tests.yaml").write_text(
        """
id: files
namespace: company.team
flowId: shop
testCases:
  - id: read
    fixtures: {tasks: [{id: fetch, outputs: {body: "{{ read('page.txt') }}"}}]}
    assertions: [{value: "{{ outputs.upper.value }}", startsWith: OF THE NAMESPACE}]
"""
    )

    code = main(["flow", "test", str(folder), "--namespace-files", f"company.team={files}"])

    assert 0 == code, capsys.readouterr()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id: s\nnamespace: n\nflowId: f\n", "testCases: must not be empty"),
        ("id: s\nnamespace: n\nflowId: f\ntestCases: []\n", "testCases: must not be empty"),
        ("id: s\nnamespace: n\nflowId: f\ntestCases:\n  - id: a\n    assertions: [{value: x}]\n", "claims nothing"),
        ("id: s\nnamespace: n\nflowId: f\ntestCases:\n  - {id: a}\n  - {id: a}\n", ":6:6: testCases[1].id: Duplicate"),
        (
            "id: s\nnamespace: n\nflowId: f\ntestCases:\n  - id: a\n    fixtures: {tasks: [{id: t, state: RUNNING}]}\n",
            "cannot end in the state RUNNING",
        ),
        ("id: s\nnamespace: n\nflowId: f\ntestCases:\n  - {id: a, asertions: []}\n", 'did you mean "assertions"?'),
    ],
)
def test_a_suite_with_mistakes_is_refused(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each mistake with its place; nothing is run, and the code is 2."""
    file = tmp_path / "suite.yaml"
    file.write_text(text)

    code = main(["flow", "test", str(file)])

    assert 2 == code
    assert said in capsys.readouterr().err


def test_a_suite_without_its_flow_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says where flows are looked for."""
    file = tmp_path / "suite.yaml"
    file.write_text("id: s\nnamespace: n\nflowId: f\ntestCases:\n  - id: a\n")

    code = main(["flow", "test", str(file)])

    assert 1 == code
    assert "The flow 'n.f' is in no file that was named, nor beside the suite." in capsys.readouterr().out


def test_the_examples_of_the_documentation_succeed(capsys: pytest.CaptureFixture[str]) -> None:
    """As their first lines say."""
    code = main(["flow", "test", str(ROOT / "docs/examples/tests"), str(ROOT / "docs/examples/flows")])

    assert 0 == code, capsys.readouterr()
