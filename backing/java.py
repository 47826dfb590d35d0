"""
A Java to run a broker with: the newest of this machine, because newer ones start a broker faster.

On a machine without one, and with Debian's package manager and root, it comes together with Maven from there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

from backing import cache

VERSION_MIN: Final = 17
"""What the brokers of Apache Kafka 4 need."""
PACKAGE: Final = "maven"
"""Debian's package of Maven; it needs a Java, which comes with it."""


@lru_cache(maxsize=1)
def find() -> tuple[Path, str]:
    """Return the newest `java` and its version; raise NotObtainable when it is too old."""
    found = sorted((*_version(java), str(java)) for java in _installed())
    if not found or found[-1][0] < VERSION_MIN:
        raise cache.NotObtainable(
            f"There is no Java {VERSION_MIN} or newer to run a Kafka broker with; install one, "
            "or name a broker in TIERCEL_TEST_KAFKA."
        )
    return Path(found[-1][2]), found[-1][1]


def maven() -> str:
    """Return the `mvn` of this machine; as root on Debian, install it when there is none."""
    found = shutil.which("mvn")
    if found is None and os.geteuid() == 0 and shutil.which("apt-get") is not None:
        options = ("-y", "-qq", "--no-install-recommends")
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        cache.run(["apt-get", "update", "-qq"], "Reading Debian's package lists", environment=quiet)
        cache.run(["apt-get", "install", *options, PACKAGE], "Installing Maven and Java", environment=quiet)
        found = shutil.which("mvn")
    if found is None:
        raise cache.NotObtainable(
            "There is no Apache Kafka in the cache and no Maven ('mvn') to get it with; install Maven and Java "
            f"{VERSION_MIN}, or name a broker in TIERCEL_TEST_KAFKA."
        )
    return found


def _installed() -> Iterator[Path]:
    places = [Path(os.environ["JAVA_HOME"]) / "bin" / "java"] if "JAVA_HOME" in os.environ else []
    if (found := shutil.which("java")) is not None:
        places.append(Path(found))
    yield from (place for place in (*places, *Path("/usr/lib/jvm").glob("*/bin/java")) if place.exists())


def _version(java: Path) -> tuple[int, str]:
    """Return the version as a number and in full."""
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "((\d+)[^"]*)"', said)
    return (int(found[2]), found[1]) if found else (0, "")
