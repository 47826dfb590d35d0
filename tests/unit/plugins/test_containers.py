"""Commands in containers, over the HTTP API of an engine that is a fake: what it is told, and what comes of it."""

from __future__ import annotations

import base64
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.fake_engine import FakeEngine
from tiercel.errors import TaskFailed
from tiercel.model.state import State
from tiercel.plugins.scripts import containerspec, engine, leftovers
from tiercel.storage.local import LocalStorage
from tiercel.worker.settings import WorkerSettings
from tiercel.worker.single import Bench, RunOutcome

SHELL = "io.kestra.plugin.scripts.shell.Commands"
PYTHON = "io.kestra.plugin.scripts.python.Script"
DOCKER = "io.kestra.plugin.scripts.runner.docker.Docker"
VARIABLES = {
    "flow": {"id": "f", "namespace": "company.team"},
    "execution": {"id": "e"},
    "taskrun": {"id": "r"},
    "name": "World",
}


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[FakeEngine]:
    folder = tmp_path / "engine"
    folder.mkdir()
    async with FakeEngine(folder).running() as fake:
        yield fake


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    settings = WorkerSettings(temporary_folder=str(tmp_path / "folders"), containers_may=("volumes",))
    return Bench(LocalStorage(tmp_path / "storage"), settings=settings)


async def run(bench: Bench, fake: FakeEngine, *commands: str, runner: Any = None, **properties: Any) -> RunOutcome:
    task = {
        "id": "script",
        "type": SHELL,
        "commands": list(commands),
        "taskRunner": {"type": DOCKER, "host": fake.host, **(runner or {})},
        **properties,
    }
    return await bench.run(task, VARIABLES)


async def test_commands_run_in_a_container_and_leave_outputs(bench: Bench, fake: FakeEngine) -> None:
    """Output of both streams is logged as it is cut into lines, marked lines are outputs, the container is removed."""
    outcome = await run(
        bench,
        fake,
        "echo 'Hello {{ name }}'",
        "echo oops >&2",
        """echo '::{"outputs":{"a":1}}::'""",
        "echo $GREETING",
        env={"GREETING": "grüß"},
    )

    assert outcome.state is State.SUCCESS, outcome.error
    assert {"a": 1} == outcome.outputs["vars"]
    assert (3, 1) == (outcome.outputs["stdOutLineCount"], outcome.outputs["stdErrLineCount"])
    said = {(entry.level, entry.message) for entry in outcome.logs}
    assert said >= {("INFO", "Hello World"), ("ERROR", "oops"), ("INFO", "grüß")}
    assert {} == fake.containers


async def test_the_container_says_whose_it_is_and_sees_nothing_of_the_worker(
    bench: Bench, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name and labels tell flow, task, execution, task run and attempt; the worker's variables stay outside."""
    monkeypatch.setenv("OF_THE_WORKER", "secret")

    await run(bench, fake, "true")

    said = fake.made[0].specification
    expected = {
        "kestra.io/namespace": "company.team",
        "kestra.io/flow-id": "f",
        "kestra.io/task-id": "script",
        "kestra.io/execution-id": "e",
        "kestra.io/taskrun-id": "r",
        "kestra.io/taskrun-attempt": "0",
        "tiercel/host": platform.node(),
        "tiercel/worker": leftovers.SIGN.name,
    }
    assert expected == said["Labels"]
    assert re.fullmatch(r"companyteam-f-script-[a-z0-9]{8}", fake.made[0].name)
    assert ["WORKING_DIR"] == [pair.partition("=")[0] for pair in said["Env"]]
    assert ["/bin/sh", "-c", "set -e\ntrue"] == said["Cmd"]
    assert ("ubuntu", False) == (said["Image"], said["Tty"])


async def test_files_go_in_and_come_out(bench: Bench, fake: FakeEngine, tmp_path: Path) -> None:
    """Input files, output files and the output directory are those of a process."""
    outcome = await run(
        bench,
        fake,
        "cat in/data.txt > out.txt",
        'basename "$OUTPUT_DIR" > name; mkdir -p "$(cat name)"; echo more > "$(cat name)/more.txt"',
        "ln -s /etc/passwd link",
        inputFiles={"in/data.txt": "content of {{ name }}"},
        outputFiles=["out.txt", "li*"],
        outputDirectory=True,
    )

    assert outcome.state is State.SUCCESS, outcome.error
    files = outcome.outputs["outputFiles"]
    assert ["more.txt", "out.txt"] == sorted(files)
    storage = bench.surroundings.storage
    assert b"content of World" == await storage.read("main", files["out.txt"])
    assert b"more\n" == await storage.read("main", files["more.txt"])


async def test_an_exit_code_fails_the_task_and_keeps_what_was_left(bench: Bench, fake: FakeEngine) -> None:
    """As with a process."""
    outcome = await run(bench, fake, "echo kept > out.txt", "exit 7", outputFiles=["out.txt"])

    assert (State.FAILED, "Command failed with exit code 7") == (outcome.state, outcome.error)
    assert (7, ["out.txt"]) == (outcome.outputs["exitCode"], list(outcome.outputs["outputFiles"]))
    assert {} == fake.containers


async def test_properties_reach_the_engine(bench: Bench, fake: FakeEngine) -> None:
    """Limits, user, entry point, network, ports, volumes and devices, in the words of the API."""
    await run(
        bench,
        fake,
        "true",
        runner={
            "user": "1000",
            "entryPoint": [""],
            "extraHosts": ["db:10.0.0.1"],
            "networkMode": "host",
            "portBindings": ["8080:80", "127.0.0.1:53:53/udp"],
            "volumes": ["/data:/data:ro"],
            "cpu": {"cpus": 1.5},
            "memory": {"memory": "512MB", "memorySwap": "1GB", "memorySwappiness": 10, "oomKillDisable": True},
            "shmSize": "64m",
            "deviceRequests": [{"driver": "nvidia", "count": "{{ 1 }}", "capabilities": [["gpu"]]}],
        },
    )

    said = fake.made[0].specification
    assert ("1000", [""]) == (said["User"], said["Entrypoint"])
    assert {"80/tcp": {}, "53/udp": {}} == said["ExposedPorts"]
    assert {
        "ExtraHosts": ["db:10.0.0.1"],
        "NetworkMode": "host",
        "PortBindings": {"80/tcp": [{"HostPort": "8080"}], "53/udp": [{"HostPort": "53", "HostIp": "127.0.0.1"}]},
        "Binds": ["/data:/data:ro"],
        "NanoCpus": 1_500_000_000,
        "Memory": 512 << 20,
        "MemorySwap": 1 << 30,
        "MemorySwappiness": 10,
        "OomKillDisable": True,
        "ShmSize": 64 << 20,
        "DeviceRequests": [{"Driver": "nvidia", "Count": 1, "Capabilities": [["gpu"]]}],
    } == said["HostConfig"]


async def test_labels_stand_beside_those_of_the_worker(bench: Bench, fake: FakeEngine) -> None:
    """Values are rendered and are texts; a label by which the worker finds its containers stays."""
    given = {"team": "{{ name }}", "version": 2, "tiercel/worker": "other"}

    outcome = await run(bench, fake, "true", runner={"labels": given})

    assert outcome.state is State.SUCCESS, outcome.error
    said = fake.made[0].specification["Labels"]
    assert ("World", "2", leftovers.SIGN.name) == (said["team"], said["version"], said["tiercel/worker"])
    assert "e" == said["kestra.io/execution-id"]


async def test_what_the_operator_does_not_allow_is_refused(bench: Bench, fake: FakeEngine) -> None:
    """The sentence names the setting; no container is made."""
    outcome = await run(bench, fake, "true", runner={"privileged": True})

    assert outcome.state is State.FAILED
    assert "'worker.containers-may' must name 'privileged'" in (outcome.error or "")
    assert [] == fake.made


async def test_a_folder_can_be_mounted_instead_of_copied(bench: Bench, fake: FakeEngine) -> None:
    """Then nothing goes through the API."""
    await run(bench, fake, "true", runner={"fileHandlingStrategy": "MOUNT"})

    said = fake.made[0].specification
    assert [f"{said['WorkingDir']}:{said['WorkingDir']}:rw"] == said["HostConfig"]["Binds"]
    assert not [call for call in fake.calls if "archive" in call]


async def test_images_are_fetched_by_policy_with_credentials(bench: Bench, fake: FakeEngine) -> None:
    """Not when the image is there, unless always; credentials are those of the runner or of the configuration."""
    mine = "registry.local:5000/team/tool:1"
    config = {"auths": {"registry.local:5000": {"auth": base64.b64encode(b"me:secret").decode()}}}

    await run(bench, fake, "true")
    await run(bench, fake, "true", runner={"pullPolicy": "ALWAYS"})
    await run(bench, fake, "true", containerImage=mine, runner={"config": json.dumps(config)})
    await run(bench, fake, "true", containerImage=mine)
    given = {"pullPolicy": "ALWAYS", "credentials": {"registry": "r", "username": "u", "password": "{{ name }}"}}
    await run(bench, fake, "true", runner={**given, "image": "other@sha256:00"})
    await run(bench, fake, "true", containerImage="none", runner={"pullPolicy": "NEVER"})

    auths = [json.loads(base64.urlsafe_b64decode(pull["auth"])) if pull["auth"] else None for pull in fake.pulls]
    names = [(pull["fromImage"], pull.get("tag")) for pull in fake.pulls]
    assert [("ubuntu", "latest"), ("registry.local:5000/team/tool", "1"), ("other@sha256:00", None)] == names
    assert [
        None,
        {"username": "me", "password": "secret", "serveraddress": "registry.local:5000"},
        {"username": "u", "password": "World", "serveraddress": "r"},
    ] == auths


async def test_an_image_that_cannot_be_had_fails_with_the_engines_reason(
    bench: Bench, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake of the engine itself is tried again; what it says in its stream, or answers, is the reason."""
    monkeypatch.setattr(engine, "PULL_PAUSE_S", 0.0)
    fake.pull_answers = [(500, '{"message": "busy"}'), (200, '{"status": "x"}\n{"error": "manifest unknown"}\n')]
    streamed = await run(bench, fake, "true", containerImage="none")
    fake.pull_answers = [(404, '{"message": "pull access denied"}')]
    refused = await run(bench, fake, "true", containerImage="none")
    fake.pull_answers = [(500, '{"message": "busy"}')] * 3
    busy = await run(bench, fake, "true", containerImage="none")

    assert "The image 'none' cannot be fetched: manifest unknown" == streamed.error
    assert "The image 'none' cannot be fetched: pull access denied" == refused.error
    assert "The image 'none' cannot be fetched: busy" == busy.error


async def test_a_container_ends_with_its_timeout(bench: Bench, fake: FakeEngine) -> None:
    """It is killed and removed; the reason is the timeout."""
    outcome = await run(bench, fake, "sleep 60", timeout="PT2S")

    assert outcome.state is State.FAILED
    assert (outcome.error or "").startswith("Timeout after PT2S")
    assert (["kill"], {}) == (fake.made[0].killed, fake.containers)


async def test_a_grace_period_stops_instead_of_killing(bench: Bench, fake: FakeEngine) -> None:
    """The engine is told how long the container may take; `delete: false` leaves it there."""
    await run(bench, fake, "sleep 60", timeout="PT2S", runner={"killGracePeriod": "PT5S", "delete": False})

    assert (["stop 5"], 1) == (fake.made[0].killed, len(fake.containers))


async def test_a_container_that_is_not_waited_for_goes_on(bench: Bench, fake: FakeEngine) -> None:
    """It is not the worker's any more: nobody removes it, and it does not bear the worker's name."""
    outcome = await run(bench, fake, "sleep 60", runner={"wait": False})

    assert (State.SUCCESS, 0) == (outcome.state, outcome.outputs["exitCode"])
    assert 1 == len(fake.containers)
    assert "tiercel/worker" not in fake.made[0].specification["Labels"]


async def test_the_older_way_to_say_docker(bench: Bench, fake: FakeEngine) -> None:
    """`runner: DOCKER` with `docker:`, and `containerImage` alone where the environment names an engine."""
    task = {"id": "script", "type": SHELL, "commands": ["true"]}
    outcome = await bench.run(
        {**task, "runner": "DOCKER", "docker": {"image": "ubuntu", "dockerHost": fake.host}}, VARIABLES
    )

    assert outcome.state is State.SUCCESS, outcome.error
    assert 1 == len(fake.made)


async def test_an_image_alone_asks_for_a_container(
    bench: Bench, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where an engine is, as with Kestra; a script's language has an image of its own."""
    monkeypatch.setenv("DOCKER_HOST", fake.host)

    await bench.run({"id": "a", "type": SHELL, "commands": ["true"], "containerImage": "ubuntu"}, VARIABLES)
    await bench.run({"id": "b", "type": PYTHON, "script": "print(1)", "taskRunner": {"type": DOCKER}}, VARIABLES)

    assert ["ubuntu", "python:3.13-slim"] == [made.specification["Image"] for made in fake.made]
    assert fake.made[1].specification["Cmd"][-1].splitlines()[-1].startswith("python ")


async def test_without_an_engine_the_worker_runs_it_itself(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says so; an engine that the task itself names must be there."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    task = {"id": "a", "type": SHELL, "commands": ["echo here"]}

    alone = await bench.run({**task, "taskRunner": {"type": DOCKER}}, VARIABLES)
    named = await bench.run({**task, "taskRunner": {"type": DOCKER, "host": "unix:///nobody.sock"}}, VARIABLES)

    assert alone.state is State.SUCCESS
    assert "is not available here" in alone.logs[0].message
    assert named.state is State.FAILED
    assert "No container engine answers at 'unix:///nobody.sock'" in (named.error or "")


def sign_of_a_dead_process() -> str:
    program = "from tiercel.plugins.scripts.leftovers import SIGN; print(SIGN.name)"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


async def test_containers_of_dead_workers_are_removed(fake: FakeEngine) -> None:
    """Those of this machine whose worker's lock nobody holds; others stay."""
    dead = sign_of_a_dead_process()
    signs = {"dead": dead, "alive": leftovers.SIGN.name, "elsewhere": dead}
    async with engine.Engine(fake.host) as client:
        for name, sign in signs.items():
            host = "other" if name == "elsewhere" else platform.node()
            await client.create({"Labels": {"tiercel/host": host, "tiercel/worker": sign, "name": name}}, name)

    removed = await leftovers.remove(fake.host)

    assert (1, 0) == (removed, await leftovers.remove(fake.host))
    left = [each.specification["Labels"]["name"] for each in fake.containers.values()]
    assert ["alive", "elsewhere"] == left
    assert not leftovers.is_alive("../../etc/passwd")


def test_a_forked_process_has_a_sign_of_its_own() -> None:
    """Two processes never share a name: one's death must not look like the other's life."""
    own = leftovers.SIGN.name
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, leftovers.SIGN.name.encode())
        os._exit(0)
    os.wait()

    assert own != os.read(reading, 100).decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("100", 100), ("1k", 1024), ("512MB", 512 << 20), ("512Mb", 512 << 20), ("1Gi", 1 << 30), ("1.5g", 3 << 29)],
)
def test_sizes_are_written_as_people_do(text: str, expected: int) -> None:
    """With or without a unit."""
    assert expected == containerspec.memory_size(text)


def test_swap_may_be_without_a_limit() -> None:
    """`-1` says so, as it does to the engine; no other size can be below zero."""
    assert -1 == containerspec.memory_size("-1", unlimited=True)
    for text, unlimited in (("-1", False), ("-2", True)):
        with pytest.raises(TaskFailed, match="is not a size"):
            containerspec.memory_size(text, unlimited=unlimited)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("ubuntu", ("ubuntu", "latest")),
        ("python:3.13-slim", ("python", "3.13-slim")),
        ("localhost:5000/tool", ("localhost:5000/tool", "latest")),
        ("localhost:5000/tool:2", ("localhost:5000/tool", "2")),
        ("tool@sha256:00", ("tool@sha256:00", "")),
    ],
)
def test_images_have_a_name_and_a_tag(image: str, expected: tuple[str, str]) -> None:
    """The colon of a port is not that of a tag."""
    assert expected == engine.split_image(image)
