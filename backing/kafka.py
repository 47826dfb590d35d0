"""
A real Apache Kafka broker, one node, for tests: `with KafkaBroker(folder) as broker: broker.bootstrap`.

It starts in two to four seconds, because formatting its storage and most of loading its classes was done once and is
kept in the cache. Started again after a kill it waits until its own old registration has expired: ten seconds at most.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from backing import cache, java, kafka_files
from backing.process import BackingProcess, free_port

CLUSTER_ID: Final = "VGllcmNlbEJhY2tpbmcwMQ"
READY: Final = b"Kafka Server started"
MEMORY: Final = ("-Xms64m", "-Xmx320m")
QUICK: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""Starts in half the time and needs less of two cores; a measurement of throughput wants the full compiler."""

SETTINGS: Final[Mapping[str, str]] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "num.partitions": "1",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "log.cleaner.dedupe.buffer.size": "16777216",
    # A busy machine lets a broker wait for seconds; one that has missed its own heartbeats would refuse all work.
    "broker.session.timeout.ms": "10000",
    "broker.heartbeat.interval.ms": "500",
}
LOGGING: Final = """\
status = warn
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %-5p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = info
"""


class KafkaBroker(BackingProcess):
    """A broker with a folder and ports of its own."""

    name = "kafka"

    def __init__(self, folder: Path, *, settings: Mapping[str, str] | None = None, quick: bool = True) -> None:
        super().__init__(folder)
        self._controller_port = free_port()
        self._settings = dict(settings or {})
        self._quick = quick

    @property
    def bootstrap(self) -> str:
        """The address for clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        """The folder of its logs."""
        return self.folder / "data"

    def _command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        jars = kafka_files.jars()
        training = _training(jars) if self._quick else None
        if not self.data.exists():
            shutil.copytree(_formatted(jars), self.data)
        properties = write_settings(self.folder, self._own_settings())
        options = [*MEMORY, *(QUICK if self._quick else ())]
        if training is not None:
            options.append(f"-XX:SharedArchiveFile={training}")
        return _java(jars, options, "kafka.Kafka", str(properties), folder=self.folder), {}

    def _own_settings(self) -> dict[str, str]:
        return {
            **SETTINGS,
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self._controller_port}",
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "log.dirs": str(self.data),
            **self._settings,
        }

    def _is_ready(self, log_begin: int) -> bool:
        with self.log_file.open("rb") as log:
            log.seek(log_begin)
            return READY in log.read()


def write_settings(folder: Path, settings: Mapping[str, str]) -> Path:
    """Write the broker's settings, and how it logs, into its folder."""
    (folder / "log4j2.properties").write_text(LOGGING)
    properties = folder / "server.properties"
    properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return properties


def prepare() -> None:
    """Have everything in the cache that a start needs."""
    jars = kafka_files.jars()
    _formatted(jars)
    _training(jars)


def _java(jars: Path, options: Sequence[str], *program: str, folder: Path) -> list[str]:
    logging = f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}"
    return [str(java.find()[0]), *options, logging, "-cp", f"{jars}/*", *program]


def _formatted(jars: Path) -> Path:
    """Return storage that was formatted once; copying it takes no time, formatting three seconds."""

    def make(folder: Path) -> None:
        data = folder / "data"
        data.mkdir()
        # The quorum's address is in no formatted file: each broker names its own.
        settings = {
            **SETTINGS,
            "listeners": "PLAINTEXT://127.0.0.1:20000,CONTROLLER://127.0.0.1:20001",
            "controller.quorum.voters": "1@127.0.0.1:20001",
            "log.dirs": str(data),
        }
        properties = write_settings(folder, settings)
        tool = ("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(properties))
        cache.run(_java(jars, QUICK, *tool, folder=folder), "Formatting a broker's storage")

    return cache.kept(f"{jars.name}-formatted", make) / "data"


def _training(jars: Path) -> Path | None:
    """Return an archive of the classes that a broker loads, written once by one that was started for it."""
    _, version = java.find()

    def make(folder: Path) -> None:
        with _Trained(folder / "broker", folder / "classes.jsa"):
            pass
        shutil.rmtree(folder / "broker")

    archive = cache.kept(f"{jars.name}-java-{version}", make) / "classes.jsa"
    return archive if archive.exists() else None


class _Trained(KafkaBroker):
    """A broker that writes down which classes it has loaded when it ends."""

    def __init__(self, folder: Path, archive: Path) -> None:
        super().__init__(folder, quick=False)
        self._archive = archive

    def _command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        command, environment = super()._command()
        return [command[0], f"-XX:ArchiveClassesAtExit={self._archive}", *QUICK, *command[1:]], environment
