"""What tasks leave behind on a worker: files of a shared folder, a log, cached outputs."""

from __future__ import annotations

from pathlib import Path

from tests.integration.worker_stage import FOLDER, LOG, RETURN, SHELL, World
from tests.unit.runtime.test_scratch import left_by_a_killed_process
from tiercel.messages.execution_event import ChildRunReported
from tiercel.model.state import State


async def test_a_folder_runs_its_tasks_one_by_one(world: World) -> None:
    """Tasks share files and outputs, and each is told of as a run of its own."""
    await world.send(
        {
            "id": "wd",
            "type": FOLDER,
            "inputFiles": {"in.txt": "{{ inputs.name }}"},
            "outputFiles": ["out.txt"],
            "tasks": [
                {"id": "skipped", "type": LOG, "message": "no", "runIf": "{{ 1 == 2 }}"},
                {"id": "off", "type": LOG, "message": "no", "disabled": True},
                {
                    "id": "first",
                    "type": SHELL,
                    "commands": ["cat in.txt > out.txt", """echo '::{"outputs":{"a":1}}::'"""],
                },
                {"id": "second", "type": RETURN, "format": "{{ outputs.first.vars.a }} {{ task.id }}"},
            ],
        }
    )
    finished = await world.finished()

    children = [event for event in await world.events() if isinstance(event, ChildRunReported)]
    assert [
        ("skipped", State.RUNNING),
        ("skipped", State.SKIPPED),
        ("first", State.RUNNING),
        ("first", State.SUCCESS),
        ("second", State.RUNNING),
        ("second", State.SUCCESS),
    ] == [(child.task_id, child.state) for child in children]
    assert children[-1].outputs is not None
    assert {"value": "1 second"} == children[-1].outputs.value
    assert finished.state is State.SUCCESS
    assert finished.outputs is not None
    assert finished.outputs.value is not None
    uri = finished.outputs.value["outputFiles"]["out.txt"]
    assert b"World" == await world.storage.read("main", uri)


async def test_what_a_task_has_stored_is_not_changed_by_the_next_one_in_its_folder(world: World) -> None:
    """The second writes to the same file; each kept what was there at its end, and so did the folder."""
    commands = {"first": "echo 1 > out.txt", "second": "echo 2 >> out.txt", "third": "echo 3 >> out.txt"}
    tasks = [
        {"id": name, "type": SHELL, "commands": [command], "outputFiles": ["out.txt"]}
        for name, command in commands.items()
    ]
    await world.send({"id": "wd", "type": FOLDER, "outputFiles": ["out.txt"], "tasks": tasks})
    finished = await world.finished()

    children = [event for event in await world.events() if isinstance(event, ChildRunReported)]
    kept = [event.outputs for event in [*children, finished] if event.outputs is not None]
    uris = [outputs.value["outputFiles"]["out.txt"] for outputs in kept if outputs.value is not None]
    contents = [await world.storage.read("main", uri) for uri in uris]
    assert [b"1\n", b"1\n2\n", b"1\n2\n3\n", b"1\n2\n3\n"] == contents


async def test_a_folder_fails_without_a_run_of_the_task_whose_condition_is_wrong(world: World) -> None:
    """Nobody knows whether that task was to run; the reason is the folder's."""
    second = {"id": "second", "type": RETURN, "format": "2", "runIf": "{{ outputs.failed }}", "allowFailure": True}
    await world.send({"id": "wd", "type": FOLDER, "tasks": [{"id": "first", "type": RETURN, "format": "1"}, second]})

    finished = await world.finished()

    children = [event for event in await world.events() if isinstance(event, ChildRunReported)]
    assert ["first", "first"] == [child.task_id for child in children]
    assert State.FAILED is finished.state
    assert "Unable to find `failed`" in (finished.error or "")


async def test_a_folder_ends_with_its_first_failed_task(world: World) -> None:
    """Unless that task may fail."""
    fail = {"id": "fail", "type": "io.kestra.plugin.core.execution.Fail"}
    log = {"id": "log", "type": LOG, "message": "reached"}
    await world.send({"id": "wd", "type": FOLDER, "tasks": [fail, log]})
    assert (await world.finished()).state is State.FAILED
    assert ("INFO", "reached") not in await world.logs()

    await world.send({"id": "wd", "type": FOLDER, "tasks": [{**fail, "allowFailure": True}, log]}, "e2")
    assert (await world.finished("e2")).state is State.WARNING
    assert ("INFO", "reached") in await world.logs()


async def test_a_folder_tries_a_task_again_as_its_retry_says(world: World) -> None:
    """In the same folder, at once for whoever waits: other tasks follow when it has succeeded."""
    retry = {"type": "constant", "interval": "PT0.01S", "maxAttempts": 3, "warningOnRetry": True}
    commands = ["echo {{ taskrun.attemptsCount }} >> tries", "test $(wc -l < tries) -eq 2"]
    again = {"id": "again", "type": SHELL, "commands": commands, "retry": retry}
    read = {"id": "read", "type": SHELL, "commands": ["""echo '::{"outputs":{"tries":"'$(echo $(cat tries))'"}}::'"""]}
    never = {"id": "never", "type": "io.kestra.plugin.core.execution.Fail", "retry": retry}
    await world.send({"id": "wd", "type": FOLDER, "tasks": [again, read, never]})
    finished = await world.finished()

    children = [event for event in await world.events() if isinstance(event, ChildRunReported)]
    assert [
        ("again", State.RUNNING),
        ("again", State.RETRYING),
        ("again", State.RUNNING),
        ("again", State.WARNING),
        ("read", State.RUNNING),
        ("read", State.SUCCESS),
        ("never", State.RUNNING),
        ("never", State.RETRYING),
        ("never", State.RUNNING),
        ("never", State.RETRYING),
        ("never", State.RUNNING),
        ("never", State.FAILED),
    ] == [(child.task_id, child.state) for child in children]
    assert children[5].outputs is not None
    assert children[5].outputs.value is not None
    assert {"tries": "0 1"} == children[5].outputs.value["vars"]
    numbers = [line.attempt_number for line in await world.lines() if line.message == "Task failure"]
    assert [0, 1, 2] == numbers
    assert State.FAILED is finished.state


async def test_a_folder_remembers_files_between_executions(world: World) -> None:
    """Cached files come back, and the cache follows their changes."""
    definition = {
        "id": "wd",
        "type": FOLDER,
        "cache": {"patterns": ["kept/**"], "ttl": "PT1H"},
        "tasks": [
            {"id": "t", "type": SHELL, "commands": ["mkdir -p kept", "echo x >> kept/file", "wc -l < kept/file"]}
        ],
    }
    for number in range(3):
        await world.send(definition, f"e{number}")
        assert (await world.finished(f"e{number}")).state is State.SUCCESS

    assert ["1", "2", "3"] == [message.strip() for level, message in await world.logs() if level == "INFO"]


async def test_the_log_may_go_into_a_file(world: World) -> None:
    """With `logToFile` lines are in storage and not in history."""
    await world.send({"id": "t", "type": LOG, "message": "in the file", "logToFile": True})
    finished = await world.finished()

    assert finished.log_file is not None
    assert (await world.storage.read("main", finished.log_file)).decode().endswith(" INFO in the file\n")
    assert [] == await world.logs()


async def test_cached_outputs_serve_a_run_with_the_same_properties(world: World) -> None:
    """A run with other rendered properties is another entry."""
    cached = {"id": "t", "type": LOG, "taskCache": {"enabled": True, "ttl": "PT1H"}}
    for number, message in enumerate(("{{ inputs.name }}", "{{ inputs.name }}", "World", "other")):
        await world.send({**cached, "message": message, "description": f"number {number}"}, f"e{number}")
        assert (await world.finished(f"e{number}")).state is State.SUCCESS

    assert ["World", "other"] == [message for level, message in await world.logs() if level == "INFO"]


async def test_a_worker_removes_the_folders_of_workers_that_were_killed(tmp_path: Path) -> None:
    """When it starts: whoever made them cleans up no more. Its own is gone when it ends."""
    folders = tmp_path / "folders"
    folders.mkdir()
    dead = left_by_a_killed_process(folders)
    world = World(tmp_path)

    async with world.worker:
        await world.worker._clearing
        assert not dead.exists()

        await world.send({"id": "here", "type": SHELL, "commands": ["pwd"]})
        await world.finished()
        assert 1 == len(list(folders.iterdir()))

    assert [] == list(folders.iterdir())
