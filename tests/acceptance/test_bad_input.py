"""What an author of flows can get wrong: it costs one flow or one execution, and the sentence says what to do."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.installation import API, WELL, YAML, Installation, resident_bytes
from tests.patience import PATIENCE_S, until
from tests.processes import processes_with

BROKEN = """\
id: broken
namespace: bad
inputs:
  - id: size
    type: INTT
tasks:
  - id: one
    type: io.kestra.plugin.core.log.Logg
    message: hello
  - id: two
    type: io.kestra.plugin.core.debug.Return
    format: x
    surprise: y
"""
PRINT_SIZE = 1 << 30
WORKER_GROWTH_MAX = 200 << 20
"""More than a worker ever needs for lines, and far less than what is printed."""


def shell(flow_id: str, *commands: str, more: str = "") -> str:
    """Return a flow of one task that runs these lines of a shell."""
    lines = "\n".join(f"      - |\n        {command}" for command in commands)
    return f"""\
id: {flow_id}
namespace: bad
tasks:
  - id: lines
    type: io.kestra.plugin.scripts.shell.Commands
    taskRunner:
      type: io.kestra.plugin.core.runner.Process
    commands:
{lines}
{more}"""


async def test_a_flow_with_several_mistakes_is_refused_with_all_of_them(installation: Installation) -> None:
    """Each with line and column and the nearest name that exists; nothing is stored."""
    answer = await installation.http.post(f"{API}/flows", content=BROKEN.encode(), headers=YAML)

    errors = answer.json()["_embedded"]["errors"]
    said = " ".join(error["message"] for error in errors)
    assert 422 == answer.status_code
    assert len(errors) >= 3
    assert all(error["line"] > 0 and error["column"] > 0 for error in errors)
    assert "io.kestra.plugin.core.log.Log'" in said
    assert "did you mean 'INT'?" in said
    assert 404 == (await installation.http.get(f"{API}/flows/bad/broken")).status_code


@pytest.mark.parametrize("source", ["id: [", "", "\t- x", "id: a\nid: b", "- a\n- b", "\0", "a: &a [*a]", "{" * 3000])
async def test_a_text_that_is_no_flow_is_refused(installation: Installation, source: str) -> None:
    """With a sentence, never with an error of the server."""
    answer = await installation.http.post(f"{API}/flows", content=source.encode(), headers=YAML)

    assert 422 == answer.status_code
    assert answer.json()["message"]


def test_run_prints_every_mistake_and_fails(tmp_path: Path) -> None:
    """`tiercel run` names file, line and column of each, and does not start anything."""
    (tmp_path / "broken.yaml").write_text(BROKEN)

    done = subprocess.run(
        [sys.executable, "-m", "tiercel.cli.main", "run", "broken.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )

    assert 0 != done.returncode
    assert "broken.yaml:5:" in done.stderr
    assert "broken.yaml:8:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "template", "words"),
    [
        ("undefined", "{{ outputs.nobody.value }}", "nobody"),
        ("unparsable", "{{ 1 + }}", "1 +"),
        ("unsecret", "{{ secret('NOBODY_KNOWS') }}", "NOBODY_KNOWS"),
        ("unfiltered", "{{ 'x' | uper }}", "uper"),
    ],
)
async def test_an_expression_that_fails_fails_its_task_alone(
    installation: Installation, name: str, template: str, words: str
) -> None:
    """The log of its execution says why, and other executions go on."""
    flow = WELL.replace("id: well", f"id: {name}").replace("format: fine", f'format: "{template}"')

    answer = await installation.http.post(f"{API}/flows", content=flow.encode(), headers=YAML)
    if 422 == answer.status_code:  # what no execution could ever render is refused before
        assert words in answer.text
        return
    execution = await installation.ended(await installation.start(name))

    assert "FAILED" == execution["state"]["current"]
    assert words in await installation.said(execution["id"], words)
    assert (
        "SUCCESS"
        == (await installation.run(WELL.replace("well", f"after-{name}"), f"after-{name}"))["state"]["current"]
    )


async def test_inputs_that_are_missing_or_of_another_type_are_refused_at_once(installation: Installation) -> None:
    """Each is named; no execution is made."""
    await installation.put(
        WELL.replace("id: well", "id: asking").replace(
            "tasks:", "inputs:\n  - {id: count, type: INT}\n  - {id: word, type: STRING}\ntasks:", 1
        )
    )

    answer = await installation.http.post(f"{API}/executions/bad/asking", files={"count": (None, b"many")})

    assert 422 == answer.status_code
    assert "count" in answer.text
    assert "word" in answer.text
    assert "many" in answer.text


async def test_a_gigabyte_without_a_newline_does_not_grow_the_worker(installation: Installation) -> None:
    """A line is cut off; what is behind the cut is read and thrown away."""
    worker = installation.server.processes()["worker"]
    before = most = resident_bytes(worker)
    await installation.put(shell("endless", f"head -c {PRINT_SIZE} /dev/zero | tr '\\0' x"))
    execution_id = await installation.start("endless")

    async def look() -> str | None:
        nonlocal most
        most = max(most, resident_bytes(worker))
        state: str = (await installation.execution(execution_id))["state"]["current"]
        return state if state in {"SUCCESS", "FAILED"} else None

    state = await until(look, "a gigabyte to be read")

    assert "SUCCESS" == state
    assert most - before < WORKER_GROWTH_MAX


async def test_bytes_that_are_no_text_are_logged_and_stored(installation: Installation) -> None:
    """NUL and broken UTF-8 in a log line or an output concern nobody else."""
    flow = shell(
        "binary",
        r"printf 'odd\000\377\376line\n'",
        r"""printf '::{"outputs":{"odd":"a\\u0000b"}}::\n'""",
    )

    execution = await installation.run(flow, "binary")

    assert "SUCCESS" == execution["state"]["current"]
    await installation.said(execution["id"], "line")
    assert [] == installation.actions("history_buried")


async def test_a_kill_ends_what_ignores_it(installation: Installation) -> None:
    """SIGTERM is ignored, a daemon has left the session: all of them are gone when the execution has ended."""
    mark = "tiercel-stubborn-4711"
    ignoring = f"trap '' TERM INT HUP; (setsid sh -c \"trap '' TERM; : {mark}; while :; do sleep 1; done\" &) ; "
    await installation.put(shell("stubborn", f"{ignoring}echo up; while :; do sleep 1; : {mark}; done"))
    execution_id = await installation.start("stubborn")
    await installation.said(execution_id, "up")
    assert processes_with(mark)

    answer = await installation.http.delete(f"{API}/executions/{execution_id}/kill")
    execution = await installation.ended(execution_id)

    assert 300 > answer.status_code
    assert "KILLED" == execution["state"]["current"]
    await until(lambda: nobody_with(mark), "all processes to end")


async def test_a_timeout_ends_what_ignores_it(installation: Installation) -> None:
    """The same for a task that takes too long."""
    mark = "tiercel-lingering-4712"
    ignoring = f"trap '' TERM INT HUP; (setsid sh -c \"trap '' TERM; : {mark}; while :; do sleep 1; done\" &) ; "
    flow = shell("lingering", f"{ignoring}while :; do sleep 1; : {mark}; done", more="    timeout: PT1S\n")

    execution = await installation.run(flow, "lingering")

    assert "FAILED" == execution["state"]["current"]
    await until(lambda: nobody_with(mark), "all processes to end")


async def nobody_with(mark: str) -> bool:
    return not processes_with(mark)


@pytest.mark.parametrize(
    ("name", "command", "files"),
    [
        ("climbing", "true", '"../../../../../../etc/hostname"'),
        ("absolute", "true", '"/etc/hostname"'),
        ("linked", "ln -s /etc/hostname inside.txt", '"inside.txt"'),
        ("linked-folder", "ln -s /etc etc", '"etc/*name"'),
    ],
)
async def test_output_files_outside_of_the_folder_are_not_taken(
    installation: Installation, name: str, command: str, files: str
) -> None:
    """Neither by a path that climbs out nor through a link."""
    execution = await installation.run(shell(name, command, more=f"    outputFiles: [{files}]\n"), name)

    run = execution["taskRunList"][0]
    assert {} == ((run.get("outputs") or {}).get("outputFiles") or {})


async def test_outputs_over_the_cap_fail_their_task(installation: Installation) -> None:
    """The sentence says which and how large."""
    flow = shell(
        "heavy",
        "python3 -c \"import json; [print('::' + json.dumps(dict(outputs={'o%d' % i: 'x' * 900000})) + '::')"
        ' for i in range(25)]"',
    )
    execution = await installation.run(flow, "heavy")

    assert "FAILED" == execution["state"]["current"]
    await installation.said(execution["id"], "output")


async def test_many_bad_executions_leave_the_good_ones_alone(installation: Installation) -> None:
    """Twenty that fail beside twenty that do not."""
    await installation.put(WELL.replace("id: well", "id: beside"))
    await installation.put(WELL.replace("id: well", "id: failing").replace("format: fine", 'format: "{{ nobody }}"'))

    ids = [await installation.start(name) for _ in range(20) for name in ("beside", "failing")]
    ended = await asyncio.gather(*(installation.ended(each) for each in ids))

    assert ["SUCCESS", "FAILED"] * 20 == [each["state"]["current"] for each in ended]
