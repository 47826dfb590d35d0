"""What is wrong with a command is one sentence, and an exit code that is not 0; nobody sees a traceback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tiercel.cli.main import main
from tiercel.errors import InvalidSettings
from tiercel.runtime.health import ManagementServer
from tiercel.webserver.service import _listen

TASK = "tasks: [{id: t, type: io.kestra.plugin.core.debug.Return, format: x}]"
FLOW = f"id: good\nnamespace: a.b\n{TASK}\n"
SUITE = """id: suite
namespace: a.b
flowId: good
testCases:
- id: case
  assertions: [{value: "{{ 1 }}", equalTo: 1}]
"""
FILES = {
    "good.yaml": FLOW.encode(),
    "asking.yaml": (
        "id: asking\nnamespace: a.b\ninputs:\n- {id: n, type: INT}\n"
        f"- {{id: f, type: FORM, inputs: [{{id: x, type: STRING}}]}}\n{TASK}\n"
    ).encode(),
    "two.yaml": f"{FLOW}---\nid: other\nnamespace: a.b\n{TASK}\n".encode(),
    "empty.yaml": b"",
    "binary.yaml": b"\xff\xfe\x00",
    "broken.yaml": b"id: [x\n",
    "suite.yaml": SUITE.encode(),
}
MIGRATE = ("migrate", "--postgres")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a folder with files of all kinds, and no settings."""
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIERCEL_POSTGRES_URL", raising=False)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("run", "none.yaml"), "Cannot read the flow file 'none.yaml': No such file or directory."),
        (("run", "."), "Cannot read the flow file '.': Is a directory."),
        (("run", "binary.yaml"), "Cannot read the flow file 'binary.yaml': it is not UTF-8 text."),
        (("run", "empty.yaml"), "The file 'empty.yaml' holds 0 flows;"),
        (("run", "two.yaml"), "The file 'two.yaml' holds 2 flows;"),
        (("run", "good.yaml", "--with", "two.yaml"), "The file 'two.yaml' holds 2 flows;"),
        (("run", "good.yaml", "--input", "name"), "The input 'name' has no value; write it as --input name=VALUE."),
        (("run", "good.yaml", "--input", "=x"), "The input '=x' has no name; write it as --input NAME=VALUE."),
        (("run", "good.yaml", "--input", "name=x"), "The flow 'a.b.good' has no input 'name'; it has none."),
        (("run", "asking.yaml", "--input", "f.z=x"), "The flow 'a.b.asking' has no input 'f.z'; it has n, f.x."),
        (("run", "good.yaml", "--user", "me:x"), "--user says who to be on another server:"),
        (("run", "good.yaml", "--server", "http://127.0.0.1:1", "--user", "me"), "--user says who to be"),
        (("run", "good.yaml", "--server", "nonsense"), "Cannot reach the server at 'nonsense': Request URL is missing"),
        (("run", "good.yaml", "--config", "none"), "Cannot read the settings file 'none': No such file or directory."),
        (("run", "good.yaml", "--config", "broken.yaml"), "but got '<stream end>' (line 2, column 1)"),
        (("flow", "test", "."), "it is not UTF-8 text"),
        (("flow", "test", "good.yaml"), "There is no suite of tests in what was named;"),
        (("flow", "test", "suite.yaml", "--timeout", "-1"), "A case cannot have -1 seconds;"),
        (("flow", "test", "suite.yaml", "--junit", "none/results.xml"), "The results cannot be written to"),
        (("flow", "test", "suite.yaml", "--namespace-files", "a=none"), "'a=none' does not name the files"),
        (("flow", "schema", "nonsense"), "There is no schema of 'nonsense';"),
        (("migrate", "check", "none"), "Cannot read the flow file 'none'"),
        ((*MIGRATE, "nonsense"), "'postgres.url' in the command line is wrong: it must be like postgresql://"),
        ((*MIGRATE, "postgresql://127.0.0.1"), "it names no database;"),
        ((*MIGRATE, "postgresql://127.0.0.1:x/y"), "the port 'x' is no number between 1 and 65535"),
        ((*MIGRATE, "postgresql://127.0.0.1/y?nonsense=1"), "invalid URI query parameter"),
        (("server", "standalone", "--port", "65536"), "'server.port' in the command line is wrong:"),
        (("server", "standalone", "--management-port", "-1"), "'server.management-port' in the command line is wrong:"),
        (("server", "standalone", "--data", "good.yaml"), "good.yaml' cannot be used: File exists;"),
        (("health", "--management-port", "0"), "'server.management-port' is 0:"),
    ],
)  # fmt: skip
def test_wrong_input_is_answered_with_a_sentence(
    command: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends with 2: what was asked for has not begun, and trying again does not help."""
    code = main(command)

    assert (2, True) == (code, said in (printed := capsys.readouterr().err)), printed


def test_a_file_without_a_flow_is_not_valid(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is wrong with what is not there, but somebody has named the wrong file."""
    assert 1 == main(["flow", "validate", "empty.yaml", "good.yaml"])

    printed = capsys.readouterr()
    assert ("good.yaml: valid\n", "empty.yaml: it holds no flow\n") == (printed.out, printed.err)


def test_a_suite_is_run_beside_files_that_cannot_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    """Its flow is looked for in its folder, whatever else lies there."""
    assert 0 == main(["flow", "test", "suite.yaml"])


def test_negative_numbers_are_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting counts below nothing."""
    monkeypatch.setenv("TIERCEL_WORKER_SLOTS", "-3")
    monkeypatch.setenv("TIERCEL_QUEUE_PARTITIONS", "0")

    assert 2 == main([*MIGRATE, "postgresql://127.0.0.1/x"])

    printed = capsys.readouterr().err
    assert "'worker.slots' in the variable TIERCEL_WORKER_SLOTS is wrong: -3 is negative." in printed
    assert "'queue.partitions' in the variable TIERCEL_QUEUE_PARTITIONS is wrong: Expected `int` >= 1" in printed


async def test_a_port_that_is_taken_ends_the_start_with_its_setting() -> None:
    """Starting again would not help, and the operator must know which port it is."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(InvalidSettings, match=rf"Cannot listen on port {port} of '127\.0\.0\.1': .*'server\.port'"):
            _listen("127.0.0.1", port).listen()
        with pytest.raises(InvalidSettings, match=rf"port {port} .* /metrics: .*'server\.management-port'"):
            await ManagementServer("worker", {}, ready=lambda: True).start("127.0.0.1", port)


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    """`tiercel flow schema | head` ends as other programs do: by the signal of a broken pipe."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as output:
        ended = subprocess.run(
            [sys.executable, "-m", "tiercel.cli.main", "flow", "schema"], stdout=output, stderr=subprocess.PIPE
        )

    assert (141, b"") == (ended.returncode, ended.stderr)
