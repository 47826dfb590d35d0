"""Dependencies of Python scripts: installed into an environment that is made once, shared, and not kept for ever."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
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
    assert "The environment of the script (nobody-has-this) cannot be made" in (outcome.error or "")
    assert [] == [path for path in (tmp_path / "cache" / "python").iterdir() if path.is_dir()]


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, program: str, target: str) -> str:
    """Put a program that runs another one where programs are found first; return its path."""
    folder.mkdir(exist_ok=True)
    path = folder / program
    path.write_text(f'#!/bin/sh\nexec {target} "$@"\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return str(path)


async def test_a_script_runs_on_the_python_that_it_names(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With packages or without; its environment is kept like any other."""
    install(monkeypatch, tmp_path / "bin", "python9.9", sys.executable)
    task = {"id": "t", "type": SCRIPT, "script": "import sys; print(sys.prefix)", "pythonVersion": "{{ v }}"}

    bare = await bench.run(task, {"v": "9.9"})
    outcome = await run(
        bench, pythonVersion=9.9, packageManager="PIP", uvAutoInstallEnabled=False, dependencies="tinkle"
    )

    assert [State.SUCCESS] * 2 == [bare.state, outcome.state], (bare.error, outcome.error)
    assert str(tmp_path / "cache" / "python") in said(bare)[0]
    assert "ding" in said(outcome)[0]
    assert any("Python 9.9, tinkle is made" in entry.message for entry in bench.logs)


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"pythonVersion": "9.8"}, "Python 9.8 is not installed on this worker"),
        ({"pythonVersion": "../bin/sh"}, "'pythonVersion' is '../bin/sh'; it must be a version such as 3.12"),
        ({"packageManager": "{{ 'CONDA' }}"}, "'packageManager' is 'CONDA'; it must be one of UV, PIP"),
    ],
)
async def test_a_python_that_is_not_there_fails_the_task(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, properties: dict[str, Any], expected: str
) -> None:
    """With a sentence that says what to do; a version is no path and no option of a program."""
    monkeypatch.setattr(environments, "UV", "no-such-uv")

    outcome = await run(bench, **properties)

    assert outcome.state is State.FAILED
    assert expected in (outcome.error or "")


def test_uv_installs_unless_pip_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It finds or fetches a Python that no program on the worker is; pip cannot."""
    uv = install(monkeypatch, tmp_path / "bin", "uv", "true")
    needs = environments.Needs(version="9.8")

    assert "9.8" == environments.python_of(needs)
    assert [[uv, "venv", "--quiet", "--python", "9.8", "/e"]] == environments.commands(Path("/e"), "9.8", [])
    made, installed = environments.commands(Path("/e"), "python9", ["a"], environments.PackageManager.PIP)
    assert "python9" == made[0]
    assert "pip" in installed


async def test_in_a_container_the_version_chooses_the_image(bench: Bench, tmp_path: Path) -> None:
    """Unless one is named; what an image holds is its own business."""
    folder = tmp_path / "engine"
    folder.mkdir()
    async with FakeEngine(folder).running() as fake:
        runner = {"type": "io.kestra.plugin.scripts.runner.docker.Docker", "host": fake.host}
        await run(bench, pythonVersion="3.12", taskRunner=runner)
        await run(bench, pythonVersion="3.12", taskRunner=runner, containerImage="mine")

    assert ["python:3.12-slim", "mine"] == [each.specification["Image"] for each in fake.made]


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
