"""
Does what the image of Kafka does at its start: settings from variables, then the broker.

usage: python kafka_image.py JAVA JARS FORMATTED, in the container's folder
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from backing.kafka import QUICK, write_settings

PREFIX = "KAFKA_"


def main(java: str, jars: str, formatted: str) -> None:
    heap = os.environ.pop("KAFKA_HEAP_OPTS").split()
    settings = {
        name.removeprefix(PREFIX).lower().replace("_", "."): value
        for name, value in os.environ.items()
        if name.startswith(PREFIX)
    }
    settings["log.dirs"] = shutil.copytree(formatted, Path.cwd() / "data")
    settings["listeners"] = settings["listeners"].replace("://:", "://127.0.0.1:")
    properties = write_settings(Path.cwd(), settings)
    logging = f"-Dlog4j2.configurationFile={properties.with_name('log4j2.properties')}"
    os.execv(java, [java, *heap, *QUICK, logging, "-cp", f"{jars}/*", "kafka.Kafka", str(properties)])


main(*sys.argv[1:])
