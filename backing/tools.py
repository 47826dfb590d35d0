"""
Programs that check what `deploy/` holds: Helm, the loader of compose files that `docker compose` uses, Prometheus; and
PgBouncer, which people put before PostgreSQL.

Helm and the loader are built from their Go modules, which `tools_module` pins. Prometheus and PgBouncer come as
packages of Debian, whose signatures apt checks; they are unpacked into the cache, not installed. What the machine has
is used.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from backing import cache, golang
from backing.cache import NotObtainable

MODULE: Final = Path(__file__).with_name("tools_module")
HELM: Final = "helm.sh/helm/v3"
COMPOSE: Final = "github.com/compose-spec/compose-go/v2"
KUBERNETES_VERSION: Final = "1.31.0"
"""What Helm is to suppose about the cluster: a Helm that was built from its module supposes a very old one."""


class Program(msgspec.Struct, frozen=True):
    """Where a program is, and the folder of libraries that it needs."""

    path: Path
    libraries: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {} if self.libraries is None else {"LD_LIBRARY_PATH": str(self.libraries)}


def helm() -> Program:
    """Return Helm."""
    return _built("helm", HELM, f"{HELM}/cmd/helm")


def compose() -> Program:
    """Return the loader: it reads a compose file, checks it, and prints it in full."""
    return _built("compose", COMPOSE, f"{COMPOSE}/cmd")


def prometheus() -> Program:
    """Return Prometheus; `promtool` is beside it."""
    return _unpacked("prometheus", "usr/bin/prometheus", ("prometheus",))


def promtool() -> Program:
    """Return what checks Prometheus's files."""
    return Program(prometheus().path.with_name("promtool"))


def pgbouncer() -> Program:
    """Return PgBouncer."""
    return _unpacked("pgbouncer", "usr/sbin/pgbouncer", ("pgbouncer", "libc-ares2", "libevent-2.1-7"))


TOOLS: Final[Mapping[str, Callable[[], Program]]] = {
    "compose": compose,
    "helm": helm,
    "pgbouncer": pgbouncer,
    "prometheus": prometheus,
}


def takes_long(name: str) -> bool:
    """Tell whether getting a tool is a matter of minutes."""
    modules = {"compose": COMPOSE, "helm": HELM}
    return name in modules and shutil.which(name) is None and not (cache.root() / _name(name, modules[name])).exists()


def _built(name: str, module: str, main: str) -> Program:
    if name == "helm" and (found := shutil.which(name)) is not None:
        return Program(Path(found))
    return Program(cache.kept(_name(name, module), lambda folder: golang.build(MODULE, main, folder / name)) / name)


def _name(name: str, module: str) -> str:
    found = re.search(rf"^\s*{re.escape(module)} v(\S+)", (MODULE / "go.mod").read_text(), re.MULTILINE)
    assert found is not None, f"go.mod names no version of {module}."
    return f"{name}-{found[1]}"


def _unpacked(name: str, path: str, packages: tuple[str, ...]) -> Program:
    if (found := shutil.which(name)) is not None:
        return Program(Path(found))
    folder = cache.kept(f"{name}-debian", lambda fresh: _unpack(fresh, packages))
    return Program(folder / path, next(iter((folder / "usr/lib").glob("*-linux-gnu")), None))


def _unpack(folder: Path, packages: tuple[str, ...]) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise NotObtainable(f"{packages[0]} is not installed, and this machine has no apt to get it by.")
    try:
        cache.run(["apt-get", "download", "--quiet", *packages], f"Getting {packages[0]}", cwd=folder)
    except NotObtainable:  # the lists of packages may be old, or not there yet
        cache.run(["apt-get", "update", "--quiet"], "Reading the lists of packages")
        cache.run(["apt-get", "download", "--quiet", *packages], f"Getting {packages[0]}", cwd=folder)
    for package in sorted(folder.glob("*.deb")):
        cache.run(["dpkg", "--extract", package, folder], f"Unpacking {package.name}")
        package.unlink()
