"""
What the operator decides: one YAML file and environment variables, checked at start, all errors reported at once.

A key may be written in kebab-case, snake_case or camelCase. `TIERCEL_QUEUE_TYPE` is `queue.type`: the words of the
path, joined. The environment wins over the file, and what the command line gives wins over both. The `kestra:` tree of
an existing installation is understood where its keys have a meaning here (`tiercel.runtime.kestra_settings`).
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
import yaml

from tiercel.errors import InvalidSettings
from tiercel.queue.kafka.settings import KafkaSettings
from tiercel.runtime import kestra_settings
from tiercel.runtime.duration import read_duration
from tiercel.runtime.postgres.address import require_address
from tiercel.storage.s3.settings import S3Settings

S = TypeVar("S", bound=msgspec.Struct)

ENVIRONMENT_PREFIX: Final = "TIERCEL_"
CONFIGURATION_VARIABLES: Final = ("TIERCEL_CONFIGURATION", "KESTRA_CONFIGURATION")
"""Holds a whole settings file as text, as container files like to do."""
TEST_PREFIX: Final = "TIERCEL_TEST_"
"""Beginnings of variables that only tests read."""
DATABASES: Final = frozenset({"postgres.url", "repository.url"})
"""Settings that are addresses of databases."""
UNCHECKED_VARIABLES: Final = frozenset({"TIERCEL_CONFORMANCE", *CONFIGURATION_VARIABLES})


Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class QueueSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where messages wait."""

    type: Literal["postgres", "kafka", "memory"] = "postgres"
    partitions: Count = 16
    """Fixed when an installation is made."""


class PostgresSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The server that holds queue and live state; without a URL, standalone starts one of its own."""

    url: str | None = None
    pool_max: Count = 8


class RepositorySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where history goes; without a URL, the database `<name>_history` on the server of `postgres.url`."""

    url: str | None = None


class LocalStorageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Internal storage in a folder that all processes share."""

    base_path: str | None = None


class StorageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where files go."""

    type: Literal["local", "s3"] = "local"
    local: LocalStorageSettings = LocalStorageSettings()
    s3: S3Settings = S3Settings()


class EncryptionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The key of SECRET inputs and encrypted outputs: base64 of 16, 24 or 32 bytes."""

    secret_key: str | None = None


class BasicAuthSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Who may use the API; enabled as soon as a user is named."""

    enabled: bool | None = None
    username: str | None = None
    password: str | None = None
    realm: str = "Tiercel"
    open_urls: tuple[str, ...] = ("/ping", "/api/v1/executions/webhook/")

    @property
    def is_enabled(self) -> bool:
        return bool(self.username) if self.enabled is None else self.enabled

    @property
    def is_complete(self) -> bool:
        """Whether there is something to ask for."""
        return bool(self.username and self.password)


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What all processes, and the API's address, have in common."""

    host: str | None = None
    """Default: every address when basic authentication is on, this machine only when it is not."""
    port: Port = 8080
    management_port: Port = 8081
    """`/health` and `/metrics`; 0 for none."""
    basic_auth: BasicAuthSettings = BasicAuthSettings()
    termination_grace: timedelta = timedelta(minutes=5)
    """How long a stopping process may take to finish what it has started."""


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where workers find the API, and who they are there: tasks such as PurgeExecutions ask it."""

    url: str | None = None
    """Default: the public address `url`, or this machine at `server.port`."""
    username: str | None = None
    """Default: the user of `server.basic-auth`."""
    password: str | None = None
    token: str | None = None


class VariableSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What expressions see of the installation: `globals` and `envs`."""

    globals: dict[str, Any] = {}
    env_vars_prefix: str = "ENV_"
    recursive_rendering: bool = False


class PluginSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Defaults of plugin properties: `{type, values, forced}` each, with `namespace` for the flows of one alone."""

    defaults: tuple[dict[str, Any], ...] = ()


class LoggingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How processes log."""

    format: Literal["text", "json"] = "text"
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class MetricsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What processes measure."""

    kestra_names: bool = False
    """Export what Kestra has as `kestra_…` too, for dashboards that were made for it."""
    flows_max: int = 1000
    """How many flows have series of their own; the others share one."""


class EnvironmentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the installation is called in expressions and in the UI."""

    name: str | None = None
    color: str | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the operator decides. `sections` hold what is one service's own business."""

    url: str | None = None
    """The public address, for links."""
    data: str = ".tiercel"
    """The folder of the embedded server and, by default, of internal storage."""
    queue: QueueSettings = QueueSettings()
    postgres: PostgresSettings = PostgresSettings()
    kafka: KafkaSettings = KafkaSettings()
    repository: RepositorySettings = RepositorySettings()
    storage: StorageSettings = StorageSettings()
    encryption: EncryptionSettings = EncryptionSettings()
    server: ServerSettings = ServerSettings()
    api: ApiSettings = ApiSettings()
    variables: VariableSettings = VariableSettings()
    plugins: PluginSettings = PluginSettings()
    logging: LoggingSettings = LoggingSettings()
    metrics: MetricsSettings = MetricsSettings()
    environment: EnvironmentSettings = EnvironmentSettings()
    sections: dict[str, Any] = {}
    warnings: tuple[str, ...] = ()

    @property
    def storage_path(self) -> Path:
        return Path(self.storage.local.base_path or Path(self.data) / "storage").absolute()

    @property
    def api_url(self) -> str:
        """Where workers find the API."""
        host = self.server.host
        if host is None or host in ("0.0.0.0", "::"):
            host = "127.0.0.1"
        return self.api.url or self.url or f"http://{f'[{host}]' if ':' in host else host}:{self.server.port}"

    @property
    def api_host(self) -> str:
        return self.server.host or ("0.0.0.0" if self.server.basic_auth.is_enabled else "127.0.0.1")


def load(
    file: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    sections: Mapping[str, type[Any]] | None = None,
) -> Settings:
    """
    Read and check the settings; raise InvalidSettings with every error found.

    `overrides` are dotted paths from the command line, `sections` the settings classes of services by name.
    """
    reader = _Reader(sections or {})
    for name in CONFIGURATION_VARIABLES:
        if environment and (text := environment.get(name)):
            reader.read_text(text, f"the variable {name}", environment)
    if file is not None:
        try:
            reader.read_text(file.read_text(), f"'{file}'", environment or {})
        except OSError as error:
            raise InvalidSettings(f"Cannot read the settings file '{file}': {error.strerror}.") from error
    reader.read_environment(environment or {})
    for path, value in (overrides or {}).items():
        if value is not None:
            reader.put(path, value, "the command line")
    return reader.settings()


class _Reader:
    """Collects values by path, and everything that is wrong with them."""

    def __init__(self, sections: Mapping[str, type[Any]]) -> None:
        self._sections = sections
        self._leaves = {_plain(path): (path, kind) for path, kind in leaves(Settings)}
        for name, section in sections.items():
            self._leaves |= {_plain(path): (path, kind) for path, kind in leaves(section, f"{name}.")}
        self._values: dict[str, Any] = {}
        self._errors: list[str] = []
        self._warnings: list[str] = []

    def read_text(self, text: str, origin: str, environment: Mapping[str, str]) -> None:
        try:
            tree = yaml.safe_load(text) or {}
        except yaml.YAMLError as error:
            self._errors.append(f"{origin} is not YAML: {_in_a_line(error)}")
            return
        if not isinstance(tree, dict):
            self._errors.append(f"{origin} must be a mapping of settings.")
            return
        values, warnings = kestra_settings.translate(tree, environment)
        self._warnings += warnings
        for path, value in values.items():
            self.put(path, value, origin)
        own = {key: value for key, value in tree.items() if key not in kestra_settings.ROOTS}
        self._read_tree(own, "", origin)

    def read_environment(self, environment: Mapping[str, str]) -> None:
        for name, value in environment.items():
            if name.startswith(ENVIRONMENT_PREFIX) and not _is_unchecked(name):
                found = self._leaves.get(_plain(name.removeprefix(ENVIRONMENT_PREFIX)))
                if found is None:
                    self._warnings.append(f"The variable {name} is no setting of Tiercel; it is ignored.")
                else:
                    self._values[found[0]] = self._converted(found[0], value, found[1], f"the variable {name}")

    def put(self, path: str, value: Any, origin: str) -> None:
        found = self._leaves.get(_plain(path))
        if found is None:
            self._unknown(path, origin)
        else:
            self._values[found[0]] = self._converted(found[0], value, found[1], origin)

    def settings(self) -> Settings:
        if self._errors:
            raise InvalidSettings("The settings are wrong:\n" + "\n".join(f"  - {error}" for error in self._errors))
        sections = {name: self._built(section, f"{name}.") for name, section in self._sections.items()}
        settings = self._built(Settings, "")
        if settings.server.basic_auth.is_enabled and not settings.server.basic_auth.is_complete:
            raise InvalidSettings(
                "'server.basic-auth' is on without a user name or without a password: whoever reaches the API could run"
                " any program. Set 'server.basic-auth.username' and 'server.basic-auth.password', or neither."
            )
        return msgspec.structs.replace(settings, sections=sections, warnings=tuple(self._warnings))

    def _read_tree(self, tree: Mapping[Any, Any], prefix: str, origin: str) -> None:
        for key, value in tree.items():
            path = f"{prefix}{key}"
            if _plain(path) in self._leaves:
                self.put(path, value, origin)
            elif isinstance(value, dict) and any(name.startswith(_plain(path)) for name in self._leaves):
                self._read_tree(value, f"{path}.", origin)
            elif value is not None or not any(name.startswith(_plain(path)) for name in self._leaves):
                self._unknown(path, origin)

    def _unknown(self, path: str, origin: str) -> None:
        near = difflib.get_close_matches(_plain(path), self._leaves, n=1, cutoff=0.6)
        hint = f"; is '{_written(self._leaves[near[0]][0])}' meant?" if near else "."
        self._errors.append(f"'{path}' in {origin} is no setting of Tiercel{hint}")

    def _converted(self, path: str, value: Any, kind: Any, origin: str) -> Any:
        try:
            if kind is timedelta:
                return read_duration(value)
            if isinstance(value, str) and _holds_many(kind):
                value = yaml.safe_load(value) if value.lstrip()[:1] in ("[", "{") else value.split(",")
            found = msgspec.convert(value, kind, strict=False)
            if isinstance(found, int | float) and found < 0:
                raise ValueError(f"{found} is negative.")
            if path in DATABASES and found is not None:
                require_address(found)
            return found
        except (msgspec.ValidationError, ValueError, yaml.YAMLError) as error:
            self._errors.append(f"'{_written(path)}' in {origin} is wrong: {error}")
            return None

    def _built(self, kind: type[S], prefix: str) -> S:
        given: dict[str, Any] = {}
        for name, hint in _hints(kind).items():
            path = f"{prefix}{name}"
            if _is_group(hint):
                given[name] = self._built(hint, f"{path}.")
            elif path in self._values:
                given[name] = self._values[path]
        return kind(**given)


def leaves(kind: type[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path and the type of each setting."""
    for name, hint in _hints(kind).items():
        if kind is Settings and name in ("sections", "warnings"):
            continue
        if _is_group(hint):
            yield from leaves(hint, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", hint


def _hints(kind: type[Any]) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _is_group(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def _holds_many(kind: Any) -> bool:
    if get_origin(kind) in (Union, types.UnionType):
        return any(_holds_many(part) for part in get_args(kind))
    return (get_origin(kind) or kind) in (list, tuple, dict, frozenset, set)


def _is_unchecked(name: str) -> bool:
    return name in UNCHECKED_VARIABLES or name.startswith(TEST_PREFIX)


def _in_a_line(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return " ".join(str(error).split())
    mark = error.problem_mark
    return f"{error.problem} (line {mark.line + 1}, column {mark.column + 1})."


def _plain(path: str) -> str:
    return "".join(letter for letter in path.lower() if letter.isalnum())


def _written(path: str) -> str:
    return path.replace("_", "-")
