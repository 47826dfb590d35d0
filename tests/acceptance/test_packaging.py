"""Wheel, sdist and editable install, each in an environment of its own with nothing but what they declare."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOW = """\
id: packed
namespace: acceptance
tasks:
  - id: one
    type: io.kestra.plugin.core.log.Log
    message: it works from {{ flow.id }}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what pip can install, by the kind of it."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT], check=True, capture_output=True
    )
    return {
        "wheel": str(next(folder.glob("*.whl"))),
        "sdist": str(next(folder.glob("*.tar.gz"))),
        "editable": str(ROOT),
    }


def install(folder: Path, *what: str) -> None:
    """Install into the environment in a folder."""
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-compile"]
    subprocess.run([*pip, *what], check=True)


@pytest.fixture(scope="module")
def equipped(built: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment into which the wheel was installed, with all that it declares."""
    folder = tmp_path_factory.mktemp("equipped")
    venv.create(folder)
    install(folder, built["wheel"])
    return folder


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["wheel", "sdist", "editable"])
def test_an_installed_tiercel_runs_a_flow(built: dict[str, str], equipped: Path, kind: str, tmp_path: Path) -> None:
    """All modules, SQL files and declared dependencies are there."""
    folder = equipped
    if kind != "wheel":  # what the wheel has brought, without the wheel: the declarations are the same ones
        folder = tmp_path / "venv"
        venv.create(folder)
        shutil.copytree(equipped / "lib", folder / "lib", copy_function=os.link, dirs_exist_ok=True)
        pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
        subprocess.run([*pip, "uninstall", "--quiet", "--yes", "tiercel"], check=True)
        install(folder, *(["--editable"] if kind == "editable" else []), built[kind])
    (tmp_path / "packed.yaml").write_text(FLOW)

    done = subprocess.run(
        [folder / "bin" / "tiercel", "run", "packed.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert 0 == done.returncode, done.stderr
    assert "it works from packed" in done.stdout


def test_the_wheel_holds_every_file_that_the_code_reads(built: dict[str, str]) -> None:
    """SQL statements, migrations and `py.typed` travel with the modules."""
    held = set(zipfile.ZipFile(built["wheel"]).namelist())
    wanted = {
        str(path.relative_to(root.parent))
        for root in (ROOT / "shared" / "tiercel", ROOT / "services" / "tiercel")
        for path in root.rglob("*")
        if path.suffix in {".py", ".sql", ".typed"} and "__pycache__" not in path.parts
    }

    assert set() == wanted - held
