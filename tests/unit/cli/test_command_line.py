"""The command line, as far as it needs no running service."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tiercel.cli.main import main
from tiercel.runtime import wiring
from tiercel.runtime.health import Concern, ManagementServer

VALID = "id: hello\nnamespace: demo\ntasks:\n  - id: log\n    type: io.kestra.plugin.core.log.Log\n    message: hi\n"


def test_help_imports_nothing_heavy() -> None:
    """`tiercel --help` answers before a framework could be loaded."""
    program = (
        "import sys; from tiercel.cli.main import parser; parser();"
        "print([name for name in ('msgspec', 'psycopg', 'litestar', 'httpx', 'yaml') if name in sys.modules])"
    )

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert "[]" == said.strip()


def test_a_valid_flow_file_is_called_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0."""
    file = tmp_path / "hello.yaml"
    file.write_text(VALID)

    code = main(["flow", "validate", str(file)])

    assert (0, f"{file}: valid\n") == (code, capsys.readouterr().out)


def test_each_problem_of_a_flow_file_is_reported_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`file:line:column`, so that editors and people find it."""
    file = tmp_path / "broken.yaml"
    file.write_text(VALID.replace("core.log.Log", "core.log.Lag"))

    code = main(["flow", "validate", str(file)])

    assert 1 == code
    assert f"{file}:5:" in capsys.readouterr().err


def test_each_warning_of_a_flow_file_is_reported_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a problem is; the flow is valid all the same."""
    file = tmp_path / "dubious.yaml"
    old = VALID.replace("io.kestra.plugin.core.log.Log", "io.kestra.core.tasks.log.Log")
    file.write_text(f"{old}triggers:\n- id: all\n  type: io.kestra.plugin.core.trigger.Flow\n")

    code = main(["flow", "validate", str(file)])

    printed = capsys.readouterr()
    assert (0, f"{file}: valid\n") == (code, printed.out)
    assert f"{file}:8:3: warning: This flow will be triggered for EVERY execution" in printed.err
    assert f"{file}:5:5: warning: tasks[0].type: io.kestra.core.tasks.log.Log is replaced by " in printed.err


def test_a_missing_flow_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """A sentence, no traceback."""
    code = main(["run", "nowhere.yaml"])

    assert 2 == code
    assert "tiercel: Cannot read the flow file 'nowhere.yaml': No such file or directory." in capsys.readouterr().err


def test_a_process_without_a_database_is_told_how_to_name_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All three ways are named."""
    monkeypatch.delenv("TIERCEL_POSTGRES_URL", raising=False)

    code = main(["migrate"])

    assert 2 == code
    assert "--postgres, TIERCEL_POSTGRES_URL or 'postgres.url'" in capsys.readouterr().err


def test_migrate_waits_for_a_server_and_then_says_which_was_not_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A database that starts beside it may take a while; an address that is wrong must not hang."""
    monkeypatch.setattr(wiring, "START_TIMEOUT_S", 0.05)

    code = main(["migrate", "--postgres", "postgresql://nobody@127.0.0.1:1/none"])

    assert 2 == code
    assert "PostgreSQL is not available, trying again" in caplog.text
    assert '"127.0.0.1", port 1 failed' in (said := capsys.readouterr().err)
    assert said.rstrip().endswith("is its server running and reachable?")


def test_the_schema_of_a_kind_or_type_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Flows unless something else is named; what is unknown ends with 2 and a sentence."""
    flow = (main(["flow", "schema"]), json.loads(capsys.readouterr().out))
    log = (main(["flow", "schema", "io.kestra.plugin.core.log.Log"]), json.loads(capsys.readouterr().out))
    unknown = (main(["flow", "schema", "song"]), capsys.readouterr().err)

    assert (0, True) == (flow[0], "definitions" in flow[1])
    assert (0, "Log a message, or several.") == (log[0], log[1]["title"])
    assert (2, True) == (unknown[0], unknown[1].startswith("tiercel: There is no schema of 'song'"))


@pytest.mark.parametrize(
    ("trouble", "code", "said"),
    [
        (None, 0, ""),
        (Concern("A transaction of 45 s."), 0, "postgres is WARNING: A transaction of 45 s.\n"),
        ("Cannot reach PostgreSQL.", 1, "postgres is DOWN: Cannot reach PostgreSQL.\n"),
    ],
)
async def test_health_says_how_the_process_is(
    capsys: pytest.CaptureFixture[str], trouble: str | None, code: int, said: str
) -> None:
    """For the health checks of containers: 0 when it is well, and what is not on the standard error."""

    async def check() -> str | None:
        return trouble

    server = ManagementServer("executor", {"postgres": check}, ready=lambda: True)
    await server.start("127.0.0.1", 0)

    ended = await asyncio.to_thread(main, ["health", "--management-port", str(server.port)])

    await server.stop()
    assert (code, said) == (ended, capsys.readouterr().err)


def test_health_of_a_process_that_is_not_there_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    """And of one without a port it is 2: the settings are wrong."""
    codes = [main(["health", "--management-port", port]) for port in ("1", "0")]

    assert [1, 2] == codes
    assert "does not answer" in capsys.readouterr().err


def test_processes_may_share_one_settings_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A section is one service's business, and no mistake for the others."""
    file = tmp_path / "tiercel.yaml"
    file.write_text("worker: {slots: 8}\nexecutor: {batch-count: 10}\nserver: {management-port: 0}\n")

    code = main(["health", "--config", str(file)])

    assert 2 == code
    assert "'server.management-port' is 0" in capsys.readouterr().err
