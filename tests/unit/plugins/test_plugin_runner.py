"""A task runner that a plugin brings: what it is given, and what it decides."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from tiercel.flowspec.fragment import check_task_document
from tiercel.model.state import State
from tiercel.plugins.base import PluginRunner, RunContext, Work
from tiercel.plugins.registry import register
from tiercel.worker.single import Bench, RunOutcome

SANDBOX = "company.runners.Sandbox"


@register(SANDBOX)
class Sandbox(PluginRunner, frozen=True, kw_only=True):
    """Run the command as a process that has nothing of the worker's environment."""

    bucket: str = "here"

    async def variables(self, context: RunContext) -> Mapping[str, Any]:
        return {"bucketPath": self.bucket, "{{ name }}": "of the runner"}

    async def environment(self, context: RunContext) -> Mapping[str, Any]:
        return {"WHO": "the runner, with {{ bucketPath }}"}

    async def run(self, context: RunContext, work: Work) -> int:
        process = await asyncio.create_subprocess_exec(
            *work.command, cwd=work.folder, env=dict(work.environment), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        while chunk := await process.stdout.read(7):
            work.output("stdout", chunk)
        return await process.wait()


async def shell(bench: Bench, *commands: str, **more: Any) -> RunOutcome:
    task = {"id": "t", "type": "io.kestra.plugin.scripts.shell.Commands", "commands": list(commands), **more}
    return await bench.run(task, {"name": "mine"})


async def test_commands_run_where_the_plugin_says(bench: Bench) -> None:
    """What they print is taken in as of any process: lines of log, outputs, and files that are kept."""
    outcome = await shell(
        bench,
        """echo '::{"outputs":{"home":"'"${HOME:-none}"'"}}::'""",
        "echo said; echo kept > out.txt",
        taskRunner={"type": SANDBOX},
        outputFiles=["out.txt"],
    )

    assert outcome.state is State.SUCCESS, outcome.error
    assert {"home": "none"} == outcome.outputs["vars"]
    assert "said" in [line.message for line in outcome.logs]
    assert b"kept\n" == await bench.surroundings.storage.read("main", outcome.outputs["outputFiles"]["out.txt"])


async def test_the_runner_wins_over_the_task(bench: Bench) -> None:
    """Its variables and its environment take the place of those of the same name, and are rendered."""
    outcome = await shell(
        bench,
        'echo \'{{ mine }}\' "$WHO" "$BUCKET_PATH" "$OTHER"',
        taskRunner={"type": SANDBOX, "bucket": "there"},
        env={"WHO": "the task", "OTHER": "kept"},
    )

    assert "of the runner the runner, with there there kept" in [line.message for line in outcome.logs]


async def test_files_are_named_relative_to_the_folder(bench: Bench) -> None:
    """The runner may have the folder elsewhere: neither storage files nor scripts are named by full paths."""
    uri = await bench.surroundings.storage.put("main", "/a/data.txt", b"content")
    outcome = await shell(bench, f"cat {uri}; echo {uri}", taskRunner={"type": SANDBOX})

    said = [line.message for line in outcome.logs]
    assert "content" in said[0]
    assert str(bench.surroundings.folder) not in " ".join(said)

    task = {"id": "t", "type": "io.kestra.plugin.scripts.shell.Script", "script": "echo of a script"}
    outcome = await bench.run({**task, "taskRunner": {"type": SANDBOX}}, {"name": "mine"})
    assert ["of a script"] == [line.message for line in outcome.logs]


async def test_an_exit_code_fails_the_task(bench: Bench) -> None:
    """What the runner returns is the code of the command."""
    outcome = await shell(bench, "exit 3", taskRunner={"type": SANDBOX})

    assert (State.FAILED, "Command failed with exit code 3") == (outcome.state, outcome.error)


def test_a_property_that_the_runner_has_not_is_refused() -> None:
    """A runner of a plugin is checked, when a flow is saved, as those that Tiercel brings."""
    task = {"id": "t", "type": "io.kestra.plugin.scripts.shell.Commands", "commands": ["true"]}

    problems = check_task_document({**task, "taskRunner": {"type": SANDBOX, "colour": "red"}})

    assert ["taskRunner.colour"] == [problem.path for problem in problems]
    assert [] == check_task_document({**task, "taskRunner": {"type": SANDBOX, "bucket": "there"}})
