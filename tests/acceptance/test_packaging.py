"""Wheel, sdist and editable install, each in an environment of its own with nothing but what they declare."""

from __future__ import annotations

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


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["wheel", "sdist", "editable"])
def test_an_installed_tiercel_runs_a_flow(built: dict[str, str], kind: str, tmp_path: Path) -> None:
    """All modules, SQL files and declared dependencies are there."""
    venv.create(tmp_path / "venv")
    programs = tmp_path / "venv" / "bin"
    what = ["--editable", built[kind]] if kind == "editable" else [built[kind]]
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "install", "--quiet", "--no-compile"]
    subprocess.run([*pip, *what], check=True)
    (tmp_path / "packed.yaml").write_text(FLOW)

    done = subprocess.run(
        [programs / "tiercel", "run", "packed.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
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
