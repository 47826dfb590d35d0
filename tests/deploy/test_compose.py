"""The compose files: accepted by the loader of `docker compose`, and true about the processes that they start."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from backing import kafka_files
from backing.tools import Program
from tests.architecture.tree import ROOT
from tests.deploy import words
from tiercel.cli.main import SERVICES
from tiercel.runtime.duration import read_duration
from tiercel.runtime.settings import ServerSettings

KINDS = {"jdbc": ("postgres", "local"), "kafka": ("kafka", "s3")}
ON_THIS_MACHINE = "127.0.0.1"


def load(compose: Program, file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [compose.path, *options, file.name], cwd=file.parent,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def services(compose: Program, kind: str, *options: str) -> dict[str, dict[str, Any]]:
    """Return the services of a compose file, in full, as the loader understands them."""
    loaded = load(compose, ROOT / f"compose.{kind}.yaml", *options)
    assert 0 == loaded.returncode, loaded.stderr
    found: dict[str, dict[str, Any]] = yaml.safe_load(loaded.stdout)["services"]
    return found


def of_tiercel(compose: Program, kind: str) -> dict[str, dict[str, Any]]:
    return {name: each for name, each in services(compose, kind).items() if "build" in each}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_starts_every_service_with_a_command_that_exists(compose: Program, kind: str) -> None:
    """One container each, and the migration before them."""
    started = {name: words.service_of(each["command"]) for name, each in of_tiercel(compose, kind).items()}

    assert {"migrate": None, **{name: name for name in SERVICES}} == started


@pytest.mark.parametrize("kind", KINDS)
def test_every_variable_is_a_setting_with_the_value_that_the_file_is_for(compose: Program, kind: str) -> None:
    """A misspelt variable would be ignored with a warning, and the default used."""
    queue, storage = KINDS[kind]
    for name, each in of_tiercel(compose, kind).items():
        settings = words.settings_of(each["environment"])

        assert (queue, storage) == (settings.queue.type, settings.storage.type), name


@pytest.mark.parametrize("kind", KINDS)
def test_containers_may_be_many_and_may_do_little(compose: Program, kind: str) -> None:
    """No name and no port of the machine but the webserver's; read-only, no capability, time to drain."""
    for name, each in of_tiercel(compose, kind).items():
        assert "container_name" not in each
        assert (name == "webserver") == ("ports" in each), name
        assert (True, ["ALL"], ["no-new-privileges:true"]) == (
            each["read_only"], each["cap_drop"], each["security_opt"],
        )  # fmt: skip
        assert "/tmp:mode=1777" in each["tmpfs"]
        assert "/var/lib/tiercel" in [volume["target"] for volume in each["volumes"]]
        assert read_duration(each["stop_grace_period"]) > ServerSettings().termination_grace


@pytest.mark.parametrize("kind", KINDS)
def test_ports_are_open_on_this_machine_only(compose: Program, kind: str) -> None:
    """There is no user yet: whoever reaches the API can run any program."""
    hosts = {port["host_ip"] for each in services(compose, kind).values() for port in each.get("ports", ())}

    assert {ON_THIS_MACHINE} == hosts


def test_on_kafka_a_worker_has_no_database(compose: Program) -> None:
    """It reaches the queue and the files, and nothing else."""
    worker = of_tiercel(compose, "kafka")["worker"]

    assert [] == [name for name in worker["environment"] if "POSTGRES" in name or "REPOSITORY" in name]
    assert "postgres" not in worker["depends_on"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_mounted_is_there_and_images_have_versions(compose: Program, kind: str) -> None:
    """A folder that is missing would be made, empty, by the engine; a version that is missing changes by itself."""
    for name, each in services(compose, kind).items():
        mounted = [Path(volume["source"]) for volume in each.get("volumes", ()) if volume["type"] == "bind"]

        assert [] == [path for path in mounted if not path.exists()], name
        assert re.search(r":(?!latest)[\w.-]+$", each["image"]), name


def test_everybody_waits_for_tables_and_topics(compose: Program) -> None:
    """The migration makes both, when what holds them is there."""
    found = of_tiercel(compose, "kafka")

    assert {"kafka", "postgres"} == set(found["migrate"]["depends_on"])
    assert [] == [name for name in SERVICES if "migrate" not in found[name]["depends_on"]]


def test_the_broker_is_of_the_version_that_is_tested(compose: Program) -> None:
    """And takes messages as large as ours may be."""
    assert services(compose, "kafka")["kafka"]["image"].endswith(f":{kafka_files.VERSION}")


@pytest.mark.parametrize("kind", KINDS)
def test_parts_can_be_left_out(compose: Program, kind: str) -> None:
    """Profiles: what runs elsewhere is named by an address, and is not waited for."""
    profiles = {name: each["profiles"] for name, each in services(compose, kind).items()}
    written = services(compose, kind, "-no-interpolation")["executor"]["environment"]

    assert {"backing", "observability", "tiercel"} == {profile for each in profiles.values() for profile in each}
    assert "COMPOSE_PROFILES=backing,tiercel,observability" in (ROOT / ".env").read_text()
    assert written["TIERCEL_POSTGRES_URL"].startswith("${POSTGRES_URL:-")
    for name in of_tiercel(compose, kind):
        needs = services(compose, kind)[name].get("depends_on", {})
        assert [] == [other for other, need in needs.items() if other != "migrate" and need["required"]], name


def test_the_loader_refuses_what_is_wrong(compose: Program, tmp_path: Path) -> None:
    """Else the tests above would prove nothing."""
    text = (ROOT / "compose.jdbc.yaml").read_text()
    (tmp_path / "wrong.yaml").write_text(text.replace("read_only:", "readonly:"))

    loaded = load(compose, tmp_path / "wrong.yaml")

    assert 0 != loaded.returncode
    assert "readonly" in loaded.stderr
