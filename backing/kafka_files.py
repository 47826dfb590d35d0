"""
Gets Apache Kafka: the jars of the broker, each checked against `kafka.lock`, and what makes it start fast.

The jars come from Maven's central repository by Maven's own client. `kafka.lock` holds each one's checksum and
coordinates; `python -m backing lock` writes it anew after `VERSION` was raised.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import msgspec

from backing import cache, java

VERSION: Final = "4.4.0"
ROOTS: Final = (f"org.apache.kafka:kafka_2.13:{VERSION}", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5")
"""The broker, and what prints its log. Everything else is what these need."""
LOCK: Final = Path(__file__).with_name("kafka.lock")
PLUGIN: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"


class Jar(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the lock: what it is, and what it must be."""

    coordinates: str
    sha256: str

    @property
    def file_name(self) -> str:
        _, artifact, version = self.coordinates.split(":")
        return f"{artifact}-{version}.jar"


def jars() -> Path:
    """Return the folder of the jars, each of which is what the lock says."""
    lock = locked_jars()
    folder = cache.kept(f"kafka-{VERSION}", lambda fresh: _fetch(lock, fresh))
    _check(lock, folder)
    return folder


def locked_jars() -> list[Jar]:
    """Read the lock."""
    lines = [line.split() for line in LOCK.read_text().splitlines() if line and not line.startswith("#")]
    return [Jar(sha256=checksum, coordinates=coordinates) for checksum, coordinates in lines]


def write_lock() -> None:
    """Resolve anew what the broker needs and write it down. What comes is trusted, once: read the difference."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        listing = folder / "listing.txt"
        _maven(_pom(ROOTS, transitive=True), folder, "list", f"-DoutputFile={listing}", "-DexcludeTransitive=false")
        found = sorted(_coordinates(line) for line in listing.read_text().splitlines() if line.count(":") >= 4)
        wanted = [Jar(coordinates=coordinates, sha256="") for coordinates in found]
        _copy(wanted, folder)
        lines = [f"{cache.sha256(folder / jar.file_name)}  {jar.coordinates}" for jar in wanted]
    head = f"# Apache Kafka {VERSION}: SHA-256 and coordinates of each jar; written by `python -m backing lock`."
    LOCK.write_text("\n".join([head, *lines]) + "\n")


def _coordinates(line: str) -> str:
    """Turn `group:artifact:jar:version:scope -- module …` into `group:artifact:version`."""
    group, artifact, _, version, _ = line.split(" -- ", maxsplit=1)[0].strip().split(":")[:5]
    return f"{group}:{artifact}:{version}"


def _fetch(lock: list[Jar], folder: Path) -> None:
    _copy(lock, folder)
    _check(lock, folder)


def _copy(wanted: list[Jar], folder: Path) -> None:
    """Put these jars, and no others, into a folder."""
    pom = _pom([jar.coordinates for jar in wanted], transitive=False)
    _maven(pom, folder, "copy-dependencies", f"-DoutputDirectory={folder}")


def _check(lock: list[Jar], folder: Path) -> None:
    for jar in lock:
        file = folder / jar.file_name
        found = cache.sha256(file) if file.exists() else "missing"
        if found != jar.sha256:
            raise cache.NotObtainable(
                f"'{file}' is not the jar that '{LOCK.name}' names: its SHA-256 is {found}, not {jar.sha256}. "
                f"Delete the folder '{folder}' to have it fetched again."
            )


def _maven(pom: str, folder: Path, goal: str, *options: str) -> None:
    maven = java.maven()
    with tempfile.TemporaryDirectory() as project:
        (Path(project) / "pom.xml").write_text(pom)
        command = [maven, "--batch-mode", "--quiet", "--no-transfer-progress", f"{PLUGIN}:{goal}", *options]
        cache.run(command, f"Getting Apache Kafka {VERSION}", cwd=Path(project))


def _pom(coordinates: tuple[str, ...] | list[str], *, transitive: bool) -> str:
    """Return a project that depends on these artifacts; without their own dependencies, when they are all of them."""
    closed = "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>"
    dependencies = []
    for each in coordinates:
        group, artifact, version = each.split(":")
        dependencies.append(
            f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>"
            f"{'' if transitive else closed}</dependency>"
        )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>tiercel</groupId><artifactId>backing-kafka</artifactId><version>1</version>"
        f"<packaging>pom</packaging><dependencies>{''.join(dependencies)}</dependencies></project>"
    )
