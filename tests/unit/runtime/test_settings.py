"""Settings: one file, the environment, all errors at once, and the tree of an existing Kestra."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tiercel.errors import InvalidSettings
from tiercel.runtime import settings
from tiercel.runtime.duration import read_duration


class WorkerSection(msgspec.Struct, frozen=True, kw_only=True):
    slots: int = 16
    lanes: tuple[str, ...] = ("default",)


def written(folder: Path, text: str) -> Path:
    file = folder / "tiercel.yaml"
    file.write_text(text)
    return file


def test_without_a_file_everything_has_a_default() -> None:
    """Nothing needs to be set to start."""
    assert "postgres" == settings.load().queue.type


@pytest.mark.parametrize("key", ["management-port", "management_port", "managementPort"])
def test_a_key_may_be_written_in_three_ways(tmp_path: Path, key: str) -> None:
    """kebab-case, snake_case and camelCase name the same setting."""
    read = settings.load(written(tmp_path, f"server: {{{key}: 9000}}"))

    assert 9000 == read.server.management_port


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(tmp_path: Path) -> None:
    """The nearer to the start of the process, the stronger."""
    file = written(tmp_path, "server: {port: 1, host: file}\ndata: file")

    read = settings.load(
        file, environment={"TIERCEL_SERVER_PORT": "2", "TIERCEL_DATA": "environment"}, overrides={"server.port": 3}
    )

    assert (3, "file", "environment") == (read.server.port, read.server.host, read.data)


def test_all_errors_are_reported_at_once(tmp_path: Path) -> None:
    """Each error names the setting, where it stands, and the nearest name that exists."""
    file = written(tmp_path, "queue: {type: rabbit}\nserver: {prot: 8080, termination-grace: soon}")

    with pytest.raises(InvalidSettings) as caught:
        settings.load(file, environment={"TIERCEL_SERVER_PORT": "eighty"})

    message = str(caught.value)
    assert 5 == len(message.splitlines())
    assert "'server.prot'" in message
    assert "is 'server.port' meant?" in message
    assert "'soon' is no duration" in message
    assert "the variable TIERCEL_SERVER_PORT" in message


def test_a_service_has_a_section_of_its_own(tmp_path: Path) -> None:
    """Its settings class is checked with everything else, from file and environment."""
    file = written(tmp_path, "worker: {slots: 4}")

    read = settings.load(file, environment={"TIERCEL_WORKER_LANES": "gpu,default"}, sections={"worker": WorkerSection})

    assert WorkerSection(slots=4, lanes=("gpu", "default")) == read.sections["worker"]


def test_the_tree_of_kestra_is_understood(tmp_path: Path) -> None:
    """What has a meaning is taken over; everything else is named in a warning."""
    file = written(
        tmp_path,
        """
        datasources:
          postgres: {url: "jdbc:postgresql://db:5432/kestra", username: "${DB_USER:k}", password: "p@"}
        kestra:
          queue: {type: postgres}
          repository: {type: h2}
          storage: {type: local, local: {basePath: /data}}
          variables: {globals: {city: Graz}, env-vars-prefix: KESTRA_}
          server: {basic-auth: {username: a@b.c, password: Secret1}, liveness: {interval: 5s}}
          anonymous-usage-report: {enabled: false}
        """,
    )

    read = settings.load(file, environment={"DB_USER": "kestra"})

    assert "postgresql://kestra:p%40@db:5432/kestra" == read.postgres.url
    assert "/data" == str(read.storage_path)
    assert {"city": "Graz"} == read.variables.globals
    assert read.server.basic_auth.is_enabled
    assert {"'kestra.repository.type: h2'", "'kestra.server.liveness.interval'"} == {
        warning.split(" has no")[0] for warning in read.warnings
    }


def test_an_unprotected_api_is_for_this_machine_only() -> None:
    """Without a password the API listens on the loopback address, unless somebody says otherwise."""
    protected = {"server.basic-auth.username": "a", "server.basic-auth.password": "b"}

    hosts = [settings.load(overrides=overrides).api_host for overrides in ({}, protected, {"server.host": "::"})]

    assert ["127.0.0.1", "0.0.0.0", "::"] == hosts


@pytest.mark.parametrize(
    "given",
    [
        {"username": "a"},
        {"username": "a", "password": ""},
        {"password": "b", "enabled": True},
        {"username": "", "password": "b", "enabled": True},
        {"enabled": True},
    ],
)
def test_half_a_credential_ends_the_start(given: dict[str, Any]) -> None:
    """An API that is thought to be protected and is not would listen on every address."""
    with pytest.raises(InvalidSettings, match="without a user name or without a password"):
        settings.load(overrides={f"server.basic-auth.{name}": value for name, value in given.items()})


def test_an_empty_user_name_is_none() -> None:
    """As files for containers write what is not set; the API then listens on this machine only."""
    read = settings.load(
        environment={"TIERCEL_SERVER_BASIC_AUTH_USERNAME": "", "TIERCEL_SERVER_BASIC_AUTH_PASSWORD": ""}
    )

    assert (False, "127.0.0.1") == (read.server.basic_auth.is_enabled, read.api_host)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("500ms", 0.5), ("1h30m", 5400), ("PT5M", 300), ("P1DT1S", 86401), ("2.5", 2.5), (7, 7)],
)
def test_durations_are_read_in_both_spellings(text: str | int, seconds: float) -> None:
    """Micronaut's short form, ISO 8601 and plain seconds."""
    assert timedelta(seconds=seconds) == read_duration(text)


@pytest.mark.parametrize(
    ("tree", "endpoint", "addressing"),
    [
        (
            "{type: minio, minio: {endpoint: store, port: 9000, secure: false, vhost: true, KEYS}}",
            "http://store:9000",
            "virtual",
        ),
        ("{type: minio, minio: {endpoint: store, KEYS}}", "https://store", "auto"),
        ("{type: s3, s3: {endpoint: 'https://store:1', forcePathStyle: true, KEYS}}", "https://store:1", "path"),
        ("{type: s3, s3: {KEYS}, minio: {endpoint: another}}", "https://s3.amazonaws.com", "auto"),
    ],
)
def test_kestras_buckets_are_understood(tmp_path: Path, tree: str, endpoint: str, addressing: str) -> None:
    """Both of its adapters are one here; only the chosen one's settings count."""
    keys = "accessKey: me, secret-key: '${SECRET}', bucket: files, region: eu-1"
    file = written(tmp_path, f"kestra: {{storage: {tree.replace('KEYS', keys)}}}")

    read = settings.load(file, environment={"SECRET": "word"})

    bucket = read.storage.s3
    assert ("s3", endpoint, addressing) == (read.storage.type, bucket.endpoint, bucket.addressing)
    assert ("me", "word", "files", "eu-1") == (bucket.access_key, bucket.secret_key, bucket.bucket, bucket.region)
    assert () == read.warnings


def test_a_setting_of_kestras_bucket_without_a_meaning_is_named(tmp_path: Path) -> None:
    """Somebody wrote it on purpose."""
    read = settings.load(written(tmp_path, "kestra: {storage: {type: minio, minio: {proxy-configuration: {host: a}}}}"))

    assert 1 == len(read.warnings)
    assert "'kestra.storage.minio.proxy-configuration.host'" in read.warnings[0]


def test_variables_of_tests_are_no_settings() -> None:
    """The address of a broker for tests is nobody's mistake."""
    assert () == settings.load(environment={"TIERCEL_TEST_KAFKA": "127.0.0.1:9092"}).warnings
