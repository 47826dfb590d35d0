"""
Gets MinIO: built from its Go module, because its makers ship no binaries any more to places that tests may use.

`minio_module/go.mod` names the version, `minio_module/go.sum` the checksum of each module; Go compares them. The build
takes about eight minutes of two cores, once.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from backing import cache, golang

MODULE: Final = Path(__file__).with_name("minio_module")
MAIN: Final = "github.com/minio/minio"
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
    golang.build(MODULE, MAIN, folder / "minio")
