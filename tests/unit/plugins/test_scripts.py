"""Scripts and commands: what they get, what they leave, and that nothing of them outlives or escapes the task."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.patience import look_until
from tests.processes import is_running
from tiercel.expression.encryption import ENCRYPTED_TYPE, is_sealed
from tiercel.model.state import State
from tiercel.plugins.scripts import supervisor
from tiercel.secrets.encryption import Encryption
from tiercel.storage.local import LocalStorage
from tiercel.worker.settings import WorkerSettings
from tiercel.worker.single import Bench, RunOutcome

SHELL = "io.kestra.plugin.scripts.shell.Commands"
PYTHON = "io.kestra.plugin.scripts.python.Script"
KEY = "I6EGNzRESu3X3pKZidrqCGOHQFUFC0yK"
VARIABLES = {"flow": {"id": "f", "namespace": "company.team"}, "name": "World"}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(
        LocalStorage(tmp_path / "storage"), settings=WorkerSettings(temporary_folder=str(tmp_path / "folders"))
    )


async def shell(bench: Bench, *commands: str, **properties: Any) -> RunOutcome:
    task = {"id": "script", "type": SHELL, "commands": list(commands), **properties}
    return await bench.run(task, VARIABLES)


async def test_lines_are_logged_and_marked_lines_are_outputs(bench: Bench) -> None:
    """stdout is INFO, stderr ERROR; `::{…}::` lines carry outputs, measurements and logs."""
    outcome = await shell(
        bench,
        "echo 'Hello {{ name }}'",
        "echo oops >&2",
        """echo '::{"outputs":{"a":1},"metrics":[{"name":"m","type":"counter","value":2,"tags":{"k":"v"}}]}::'""",
        """echo '::{"logs":[{"level":"WARN","message":"careful"}]}::'""",
        "echo '::{broken}::'",
    )

    assert outcome.state is State.SUCCESS
    assert {"a": 1} == outcome.outputs["vars"]
    assert (outcome.outputs["exitCode"], outcome.outputs["stdOutLineCount"], outcome.outputs["stdErrLineCount"]) == (
        0,
        4,
        1,
    )
    # The two streams are read side by side: their lines have no order between them.
    assert {(entry.level, entry.message) for entry in outcome.logs} >= {("INFO", "Hello World"), ("ERROR", "oops")}
    assert 2 == sum(entry.level == "WARN" for entry in outcome.logs)
    assert [{"type": "counter", "name": "m", "value": 2.0, "tags": {"k": "v"}}] == outcome.metrics


async def test_outputs_that_are_to_be_encrypted_are(tmp_path: Path) -> None:
    """A script may say that an output is secret; without a key it is kept in clear, and the log warns."""
    line = """echo '::{"outputs":{"a":1},"encryptedOutputs":{"b":"hush"}}::'"""
    folders = str(tmp_path / "folders")
    known = Bench(
        LocalStorage(tmp_path / "storage"), settings=WorkerSettings(temporary_folder=folders, encryption_key=KEY)
    )
    outcome = await shell(known, line)

    assert outcome.state is State.SUCCESS, outcome.error
    hidden = outcome.outputs["vars"].pop("b")
    assert {"a": 1} == outcome.outputs["vars"]
    assert is_sealed(hidden)
    assert "hush" == Encryption(KEY).decrypt(hidden["value"])

    outcome = await shell(Bench(LocalStorage(tmp_path), settings=WorkerSettings(temporary_folder=folders)), line)

    assert outcome.state is State.SUCCESS
    assert {"type": ENCRYPTED_TYPE, "value": "hush"} == outcome.outputs["vars"]["b"]
    assert any(line.level == "WARN" and "the installation has no key" in line.message for line in outcome.logs)


async def test_a_failing_command_fails_the_task_and_keeps_its_outputs(bench: Bench) -> None:
    """What was said before the failure is kept, and nothing runs after it."""
    outcome = await shell(bench, """echo '::{"outputs":{"a":1}}::'""", "false", "echo never")

    assert outcome.state is State.FAILED
    assert "Command failed with exit code 1" == outcome.error
    assert {"a": 1} == outcome.outputs["vars"]
    assert "never" not in [entry.message for entry in outcome.logs]


async def test_without_fail_fast_the_last_command_decides(bench: Bench) -> None:
    """`failFast: false` lets commands go on."""
    outcome = await shell(bench, "false", "echo on", failFast=False)

    assert outcome.state is State.SUCCESS


async def test_errors_may_be_warnings(bench: Bench) -> None:
    """`warningOnStdErr` makes a task that wrote to stderr end with a warning."""
    assert (await shell(bench, "echo x >&2", warningOnStdErr=True)).state is State.WARNING
    assert (await shell(bench, "echo x >&2")).state is State.SUCCESS


async def test_files_go_in_and_out(bench: Bench) -> None:
    """Input files are written, URIs in commands become paths, and files that match are kept."""
    context = bench.context(VARIABLES)
    uri = await context.store("stored.txt", b"stored")
    outcome = await shell(
        bench,
        f"cat {uri} in/given.txt > out.txt",
        "printf '%s' {{ outputFiles.single }} > single",
        "echo more > '{{ outputDir }}/kept.txt'",
        "test \"$WORKING_DIR\" = '{{ workingDir }}'",
        "cp link-source.txt 'with space.txt'",
        inputFiles={"in/given.txt": " and {{ name }}", "link-source.txt": uri},
        outputFiles=["*.txt", "single"],
        outputDirectory=True,
        env={"X": "{{ name }}"},
    )

    assert outcome.state is State.SUCCESS, outcome.error
    files = outcome.outputs["outputFiles"]
    assert {"out.txt", "single", "kept.txt", "link-source.txt", "with space.txt"} == set(files)
    storage = bench.surroundings.storage
    assert b"stored and World" == await storage.read("main", files["out.txt"])
    assert (await storage.read("main", files["single"])).endswith(b"/single")


async def test_the_older_runner_keeps_the_files_of_its_output_directory(bench: Bench) -> None:
    """As in Kestra 1.x: `{{ outputDir }}` needs no `outputDirectory` beside `runner`; beside `taskRunner` it does."""
    line = "echo kept > {{ outputDir }}/kept.txt"

    older = await shell(bench, line, runner="PROCESS")
    unwanted = await shell(bench, line, runner="PROCESS", outputDirectory=False)
    newer = await shell(bench, line, taskRunner={"type": "io.kestra.plugin.core.runner.Process"})

    assert {"kept.txt"} == set(older.outputs["outputFiles"])
    assert [State.FAILED] * 2 == [unwanted.state, newer.state]


async def test_an_attempt_that_is_run_twice_keeps_the_files_of_both_runs(bench: Bench) -> None:
    """After a crash of the queue a job may be run again: what the first run told of stays what it was."""
    first, second = [await shell(bench, "date +%N > out.txt", outputFiles=["out.txt"]) for _ in range(2)]

    read = bench.surroundings.storage.read
    contents = [await read("main", outcome.outputs["outputFiles"]["out.txt"]) for outcome in (first, second)]
    assert contents[0] != contents[1]


async def test_namespace_files_are_there(bench: Bench) -> None:
    """Chosen files of the namespace are copied into the folder."""
    storage = bench.surroundings.storage
    for path in ("a.sql", "sub/b.sql", "c.txt"):
        await storage.put("main", f"/company/team/_files/{path}", path.encode())
    outcome = await shell(
        bench, "find . -type f | sort", namespaceFiles={"enabled": True, "include": ["**/*.sql"], "exclude": ["a.sql"]}
    )

    assert ["./sub/b.sql"] == [entry.message for entry in outcome.logs]


async def test_a_file_name_that_leads_out_is_refused(bench: Bench) -> None:
    """Input files stay in the folder."""
    for name in ("../escape.txt", "/etc/passwd", "a/../../b"):
        outcome = await shell(bench, "true", inputFiles={name: "x"})
        assert outcome.state is State.FAILED
        assert "is not a path inside the task's folder" in (outcome.error or "")


async def test_a_link_that_leads_out_is_not_kept(bench: Bench, tmp_path: Path) -> None:
    """An output file that is a link to the worker's own files fails the task; so does one that is no file."""
    (tmp_path / "secret").write_text("worker's own")

    outcome = await shell(bench, f"ln -s {tmp_path}/secret out.txt", outputFiles=["*.txt"])
    assert outcome.state is State.FAILED
    assert "leads out of the task's folder" in (outcome.error or "")
    outcome = await shell(bench, f"ln -s {tmp_path} out", outputFiles=["**"])
    assert "leads out of the task's folder" in (outcome.error or "")
    outcome = await shell(bench, "mkfifo out.txt", outputFiles=["*.txt"])
    assert "is not a regular file" in (outcome.error or "")


async def test_a_script_of_a_language_is_run_by_its_program(bench: Bench) -> None:
    """The text is rendered, written into the folder, and run there."""
    outcome = await bench.run(
        {
            "id": "p",
            "type": PYTHON,
            "script": "import os\nprint('{{ name }}', os.getcwd() == os.environ['WORKING_DIR'])",
        },
        VARIABLES,
    )

    assert ["World True"] == [entry.message for entry in outcome.logs]


async def test_a_task_runner_that_is_not_there_is_replaced_and_named(bench: Bench) -> None:
    """A task that asks for a container runs as a process and says so."""
    outcome = await shell(bench, "echo x", taskRunner={"type": "io.kestra.plugin.scripts.runner.docker.Docker"})

    assert outcome.state is State.SUCCESS
    assert "is not available here" in outcome.logs[0].message


async def test_secrets_of_the_worker_are_not_in_the_environment(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script sees the worker's environment but for secrets and the worker's settings."""
    monkeypatch.setenv("SECRET_X", "eA==")
    monkeypatch.setenv("TIERCEL_POSTGRES_URL", "postgresql://")
    monkeypatch.setenv("PLAIN", "yes")
    outcome = await shell(bench, "echo ${SECRET_X:-none} ${TIERCEL_POSTGRES_URL:-none} $PLAIN")

    assert ["none none yes"] == [entry.message for entry in outcome.logs]


async def test_output_before_the_commands_is_for_debugging(bench: Bench) -> None:
    """What `beforeCommands` print is logged at DEBUG; the lines that say so are neither logged nor counted."""
    outcome = await shell(bench, "echo main", beforeCommands=["echo before"])

    assert [("DEBUG", "before"), ("INFO", "main")] == [(entry.level, entry.message) for entry in outcome.logs]
    assert 2 == outcome.outputs["stdOutLineCount"]


async def test_a_long_script_is_run_from_a_file(bench: Bench) -> None:
    """Commands may be longer than the system allows for one argument."""
    outcome = await shell(bench, ": '" + "x" * 200_000 + "'", "echo done")

    assert ["done"] == [entry.message for entry in outcome.logs]


async def test_a_huge_line_costs_bounded_memory(bench: Bench) -> None:
    """A line without an end is cut; the task goes on."""
    outcome = await shell(bench, "head -c 50000000 /dev/zero | tr '\\0' x", "echo after")

    assert outcome.state is State.SUCCESS
    assert 1 == outcome.outputs["stdOutLineCount"]
    assert len(outcome.logs[0].message) < 40_000


async def test_lines_without_an_end_are_counted_when_nobody_keeps_them(tmp_path: Path) -> None:
    """After the cap of the log lines cost next to nothing; outputs among them are still taken."""
    settings = WorkerSettings(log_lines_max=100, temporary_folder=str(tmp_path / "tmp"))
    bench = Bench(LocalStorage(tmp_path / "storage"), settings=settings)
    outcome = await shell(bench, "yes | head -n 5000000", """echo '::{"outputs":{"a":1}}::'""")

    assert 5_000_001 == outcome.outputs["stdOutLineCount"]
    assert {"a": 1} == outcome.outputs["vars"]
    assert 101 == len(outcome.logs)


async def test_carriage_returns_end_lines(bench: Bench) -> None:
    """Progress bars are lines; a pair of return and feed is one end."""
    outcome = await shell(bench, r"printf '1\r2\r\n3\n\n4'")

    assert ["1", "2", "3", "", "4"] == [entry.message for entry in outcome.logs]


async def test_a_task_that_ignores_the_request_to_end_is_killed(bench: Bench, tmp_path: Path) -> None:
    """A timeout ends the whole group, whatever it does with signals."""
    pids = tmp_path / "pids"
    outcome = await shell(
        bench,
        f"trap '' TERM; (trap '' TERM; echo $$ >> {pids}; sleep 60) & echo $$ >> {pids}; sleep 60",
        timeout="PT2S",
    )

    assert outcome.state is State.FAILED
    assert "Timeout after PT2S" in (outcome.error or "")
    assert [] == [pid for pid in map(int, pids.read_text().split()) if is_running(pid)]


async def test_a_background_process_does_not_outlive_its_task(bench: Bench, tmp_path: Path) -> None:
    """What stays in the group ends with it; what has left the group is found by its mark."""
    pid_file = tmp_path / "pid"
    daemon = f"setsid sh -c 'echo $$ > {pid_file}; exec sleep 600' >/dev/null 2>&1 &"
    outcome = await shell(bench, f"{daemon} while [ ! -s {pid_file} ]; do sleep 0.01; done; sleep 601 & true")
    pid = int(pid_file.read_text())

    assert outcome.state is State.SUCCESS
    assert is_running(pid)
    assert supervisor.kill_marked([supervisor.SUPERVISOR.worker + "/" + str(n) for n in range(1, 1000)]) >= 1
    look_until(lambda: not is_running(pid), f"{pid} to end")


def test_processes_die_with_their_worker(tmp_path: Path) -> None:
    """A worker that is killed without a chance to clean up takes its scripts, and their daemons, with it."""
    pids = tmp_path / "pids"
    program = f"""
import asyncio
from tiercel.storage.local import LocalStorage
from tiercel.worker.single import run_task
commands = ["setsid sh -c 'echo $$ >> {pids}; exec sleep 600' & echo $$ >> {pids}; echo started; sleep 600"]
asyncio.run(run_task({{"id": "t", "type": "{SHELL}", "commands": commands}}, storage=LocalStorage("{tmp_path}/s")))
"""
    worker = subprocess.Popen([sys.executable, "-c", program])
    try:
        look_until(lambda: pids.exists() and len(pids.read_text().split()) == 2, "two processes to run")
        scripts = [int(pid) for pid in pids.read_text().split()]
        assert all(is_running(pid) for pid in scripts)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()

    look_until(lambda: not any(is_running(pid) for pid in scripts), f"{scripts} to end")


def test_a_forked_process_has_marks_of_its_own() -> None:
    """The guard of a worker that was killed must not end the scripts of the one that takes its place."""
    own = supervisor.SUPERVISOR.mark()
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, supervisor.SUPERVISOR.mark().encode())
        os._exit(0)
    os.wait()

    assert own.partition("/")[0] != os.read(reading, 100).decode().partition("/")[0]


async def test_a_file_of_the_worker_is_given_only_from_allowed_folders(tmp_path: Path) -> None:
    """`file://` is refused unless the operator allows the folder; links do not widen it."""
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed/a.txt").write_text("given")
    (tmp_path / "other.txt").write_text("secret")
    (tmp_path / "allowed/link.txt").symlink_to(tmp_path / "other.txt")
    settings = WorkerSettings(local_files_allowed=(str(tmp_path / "allowed"),), temporary_folder=str(tmp_path / "tmp"))
    bench = Bench(LocalStorage(tmp_path / "storage"), settings=settings)

    outcome = await shell(bench, "cat a.txt", inputFiles={"a.txt": f"file://{tmp_path}/allowed/a.txt"})
    assert ["given"] == [entry.message for entry in outcome.logs]
    for path in ("other.txt", "allowed/link.txt", "allowed/../other.txt"):
        outcome = await shell(bench, "cat a.txt", inputFiles={"a.txt": f"file://{tmp_path}/{path}"})
        assert outcome.state is State.FAILED
        assert "must not be read" in (outcome.error or "")


async def test_a_script_finds_the_context_as_a_file_that_nobody_keeps(bench: Bench) -> None:
    """It holds what expressions see, without the environment; no pattern keeps it."""
    variables = {**VARIABLES, "outputs": {"one": {"uri": "a'b\n"}}, "envs": {"a": "1"}, "globals": {"b": 2}}
    task = {
        "id": "script",
        "type": SHELL,
        "executionContext": True,
        "outputFiles": ["**", ".*"],
        "commands": ["cat .kestra-execution-context.json > copy.json", "stat -c %a .kestra-execution-context.json"],
    }

    outcome = await bench.run(task, variables)

    [name] = outcome.outputs["outputFiles"]
    assert "copy.json" == name
    found = json.loads(await bench.surroundings.storage.read("main", outcome.outputs["outputFiles"][name]))
    assert {"flow": VARIABLES["flow"], "name": "World", "outputs": {"one": {"uri": "a'b\n"}}}.items() <= found.items()
    assert {"envs", "globals"}.isdisjoint(found)
    assert "600" in [entry.message for entry in outcome.logs]


async def test_a_script_gets_no_context_unasked(bench: Bench) -> None:
    """Writing it down is the author's choice."""
    outcome = await shell(bench, "ls -A")

    assert [] == [entry.message for entry in outcome.logs if "context" in entry.message]
