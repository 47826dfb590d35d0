"""The example package of the guide on writing tasks: it installs, its types are found, and its flow runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "docs" / "examples" / "textkit"
FLOW = str(PACKAGE / "flow.yaml")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install a copy of the package into a folder of its own, as pip does it for anybody, without an index."""
    folder = tmp_path_factory.mktemp("textkit")
    copy = shutil.copytree(PACKAGE, folder / "source")
    target = folder / "target"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(copy)], check=True, timeout=100)
    return target


def tiercel(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = "import sys; from tiercel.cli.main import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": str(installed)},
        cwd=installed.parent,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_its_flow_runs(installed: Path) -> None:
    """Function, blocking function and class, with files and outputs between them."""
    done = tiercel(installed, "run", FLOW, "--input", "name=Ada")

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "said: 2 WORDS, FIRST: HELLO!!!" in done.stdout
    assert "2 words occur 2 times or more" in done.stdout


def test_its_types_are_in_the_schema(installed: Path) -> None:
    """An editor knows them like any other; without the package they are unknown."""
    schema = json.loads(tiercel(installed, "flow", "schema").stdout)

    jsonschema.Draft7Validator(schema).validate(yaml.safe_load(Path(FLOW).read_text()))
    assert "Who is greeted." == schema["definitions"]["company.textkit.Greet"]["properties"]["name"]["description"]
    assert 0 == tiercel(installed, "flow", "validate", FLOW).returncode
    assert 1 == tiercel(installed.parent / "nowhere", "flow", "validate", FLOW).returncode
