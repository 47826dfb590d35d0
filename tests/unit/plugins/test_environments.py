"""Dependencies of Python scripts: installed into an environment that is made once, shared, and not kept for ever."""

from __future__ import annotations

import asyncio
import fcntl
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.fake_engine import FakeEngine
from tiercel.model.state import State
from tiercel.plugins.scripts import environments
from tiercel.storage.local import LocalStorage
from tiercel.worker.settings import WorkerSettings
from tiercel.worker.single import Bench, RunOutcome

SCRIPT = "io.kestra.plugin.scripts.python.Script"
COMMANDS = "io.kestra.plugin.scripts.python.Commands"


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench whose installer finds one package, in a folder; pip's and uv's own variables say so."""
    packages = tmp_path / "packages"
    packages.mkdir()
    write_wheel(packages)
    for name, value in {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": packages,
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": packages,
    }.items():
        monkeypatch.setenv(name, str(value))
    settings = WorkerSettings(temporary_folder=str(tmp_path / "folders"), cache_folder=str(tmp_path / "cache"))
    return Bench(LocalStorage(tmp_path / "storage"), settings=settings)


def write_wheel(folder: Path) -> None:
    about = "tinkle-1.2.dist-info"
    files = {
        "tinkle.py": "SOUND = 'ding'\n",
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: tinkle\nVersion: 1.2\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{about}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{about}/RECORD"])
    with zipfile.ZipFile(folder / "tinkle-1.2-py3-none-any.whl", "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)


async def run(bench: Bench, **properties: Any) -> RunOutcome:
    script = "import sys, tinkle; print(tinkle.SOUND, sys.prefix)"
    return await bench.run({"id": "t", "type": SCRIPT, "script": script, **properties}, {"package": "tinkle"})


def said(outcome: RunOutcome) -> list[str]:
    return [entry.message for entry in outcome.logs if entry.level == "INFO"]


async def test_a_script_finds_its_dependencies_and_the_environment_serves_again(bench: Bench) -> None:
    """Made once for a set of requirements, whatever their order; two at a time make one."""
    first, second = await asyncio.gather(
        run(bench, dependencies=["tinkle"]), run(bench, dependencies=["{{ package }}"])
    )
    third = await bench.run(
        {"id": "t", "type": COMMANDS, "commands": ["python -c 'import tinkle; print(1)'"], "dependencies": "tinkle"}
    )

    assert [State.SUCCESS] * 3 == [each.state for each in (first, second, third)], (first.error, first.logs)
    places = {line.partition(" ")[2] for line in (*said(first), *said(second)) if line.startswith("ding ")}
    assert 1 == len(places)
    assert ["1"] == said(third)
    assert 1 == sum("is made" in entry.message for entry in bench.logs)


async def test_an_environment_need_not_be_kept(bench: Bench, tmp_path: Path) -> None:
    """Then it is the run's own."""
    outcome = await run(bench, dependencies=["tinkle"], dependencyCacheEnabled=False)

    assert outcome.state is State.SUCCESS, outcome.error
    assert str(tmp_path / "folders") in said(outcome)[0]
    assert not (tmp_path / "cache" / "python").exists()


async def test_what_cannot_be_installed_fails_the_task_and_leaves_nothing(bench: Bench, tmp_path: Path) -> None:
    """With the names; the next run tries again."""
    outcome = await run(bench, dependencies=["nobody-has-this"])

    assert outcome.state is State.FAILED
    assert "The dependencies (nobody-has-this) cannot be installed" in (outcome.error or "")
    assert [] == [path for path in (tmp_path / "cache" / "python").iterdir() if path.is_dir()]


async def test_in_a_container_they_are_installed_there(bench: Bench, tmp_path: Path) -> None:
    """Before anything else, by the image's own pip."""
    folder = tmp_path / "engine"
    folder.mkdir()
    async with FakeEngine(folder).running() as fake:
        runner = {"type": "io.kestra.plugin.scripts.runner.docker.Docker", "host": fake.host}
        await run(bench, dependencies=["tinkle", "a; rm -rf /"], taskRunner=runner)

        lines = fake.made[0].specification["Cmd"][-1].splitlines()
    assert "python -m pip install --quiet --disable-pip-version-check -- tinkle 'a; rm -rf /'" == lines[2]


def test_the_same_requirements_in_another_order_are_the_same() -> None:
    """Another Python is another environment."""
    own = environments.digest(["a", "b==1 "], "/usr/bin/python3")

    assert own == environments.digest(["b==1", "a"], "/usr/bin/python3")
    assert own != environments.digest(["b==1", "a"], "/usr/bin/python4")


def test_the_oldest_environments_are_removed_and_those_in_use_stay(tmp_path: Path) -> None:
    """By the time of their last use."""
    for number in range(5):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / ".ready").touch()
        os.utime(folder / ".ready", (number, number))
    with (tmp_path / "0.lock").open("wb") as used:
        fcntl.flock(used, fcntl.LOCK_SH)

        environments.prune(tmp_path, keep=tmp_path / "1", most=2)

    assert {"0", "1", "3", "4"} == {path.name for path in tmp_path.iterdir() if path.is_dir()}
