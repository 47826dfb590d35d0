"""`tiercel run FLOW.yaml`: everything in one process, for one flow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from backing.minio import MinioServer
from backing.process import free_port

GREET = """\
id: greet
namespace: acceptance
inputs:
  - id: name
    type: STRING
    defaults: nobody
  - id: letter
    type: FILE
    required: false
tasks:
  - id: write
    type: io.kestra.plugin.scripts.shell.Commands
    taskRunner:
      type: io.kestra.plugin.core.runner.Process
    outputFiles: [greeting.txt]
    commands:
      - echo "Hello {{ inputs.name }}" > greeting.txt
      - echo "written for {{ inputs.name }}"
outputs:
  - id: file
    type: FILE
    value: "{{ outputs.write.outputFiles['greeting.txt'] }}"
"""
FAILING = """\
id: failing
namespace: acceptance
tasks:
  - id: no
    type: io.kestra.plugin.core.execution.Fail
    errorMessage: I will not
"""
CALLING = """\
id: calling
namespace: acceptance
tasks:
  - id: call
    type: io.kestra.plugin.core.flow.Subflow
    namespace: acceptance
    flowId: greet
    inputs:
      name: caller
    wait: true
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tiercel.cli.main", "run", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def written(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return name


def test_a_flow_that_succeeds_ends_with_zero_and_shows_logs_and_files(tmp_path: Path) -> None:
    """The file is where it says."""
    done = run(tmp_path, written(tmp_path, "greet.yaml", GREET), "--input", "name=world")

    assert (0, "") == (done.returncode, done.stderr)
    assert "written for world" in done.stdout

    assert "Hello world\n" == Path(done.stdout.split("files\n")[1].strip()).read_text()


def test_a_flow_that_fails_ends_with_one_and_its_reason(tmp_path: Path) -> None:
    """The reason is in the log that is shown."""
    done = run(tmp_path, written(tmp_path, "failing.yaml", FAILING))

    assert 1 == done.returncode
    assert "I will not" in done.stdout


def test_a_flow_file_with_a_mistake_ends_with_two_and_its_place(tmp_path: Path) -> None:
    """`file:line:column: path: what is wrong`."""
    done = run(tmp_path, written(tmp_path, "broken.yaml", GREET.replace("commands:", "comands:")))

    assert 2 == done.returncode
    assert "broken.yaml:" in done.stderr
    assert "comands" in done.stderr


def test_an_input_of_a_wrong_name_or_form_is_refused(tmp_path: Path) -> None:
    """A sentence, no traceback."""
    done = run(tmp_path, written(tmp_path, "greet.yaml", GREET), "--input", "letter=@nowhere.txt")

    assert (2, "tiercel: The input 'letter' names the file 'nowhere.txt', which does not exist.\n") == (
        done.returncode,
        done.stderr,
    )


def test_a_flow_that_calls_another_one_gets_it_with_it(tmp_path: Path) -> None:
    """`--with` makes further flows known."""
    greet = written(tmp_path, "greet.yaml", GREET)

    done = run(tmp_path, written(tmp_path, "calling.yaml", CALLING), "--with", greet)

    assert (0, "") == (done.returncode, done.stderr)


def test_a_bucket_that_cannot_be_used_ends_the_run_before_it_begins(
    minio_server: MinioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence with the setting and what to do, instead of every service's complaints; a bucket is made."""
    environment = minio_server.address.environment("run-bucket")
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    written(tmp_path, "greet.yaml", GREET)
    assert 0 == run(tmp_path, "greet.yaml").returncode

    monkeypatch.setenv("TIERCEL_STORAGE_S3_SECRET_KEY", "wrong-secret")
    rejected = run(tmp_path, "greet.yaml")
    monkeypatch.setenv("TIERCEL_STORAGE_S3_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    alone = run(tmp_path, "greet.yaml")

    assert [2, 2] == [rejected.returncode, alone.returncode]
    assert 1 == len(rejected.stderr.splitlines()), rejected.stderr
    assert "correct 'storage.s3.secret-key'" in rejected.stderr
    assert "('storage.s3.endpoint'): [Errno 111] Connection refused. Is it running?" in alone.stderr.splitlines()[-1]
