"""
The settings of an existing Kestra installation, as far as they have a meaning here.

The keys in `MEANINGS` become settings of Tiercel. Every other key below the known roots is named in a warning, because
somebody wrote it on purpose; the few in `WITHOUT_CONSEQUENCE` are silent: what they switch off does not exist here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

from tiercel.expression.truth import says_true

ROOTS: Final = frozenset({"kestra", "datasources", "micronaut", "endpoints", "flyway", "jackson", "logger"})
"""Top-level keys of a Kestra settings file."""

MEANINGS: Final[Mapping[str, str]] = {
    "kestra.encryption.secret-key": "encryption.secret-key",
    "kestra.environment.color": "environment.color",
    "kestra.environment.name": "environment.name",
    "kestra.kafka.client.properties": "kafka.properties",
    "kestra.kafka.defaults.topic-prefix": "kafka.topic-prefix",
    "kestra.kafka.defaults.topic.replication-factor": "kafka.replication-factor",
    "kestra.plugins.defaults": "plugins.defaults",
    "kestra.server.basic-auth.enabled": "server.basic-auth.enabled",
    "kestra.server.basic-auth.open-urls": "server.basic-auth.open-urls",
    "kestra.server.basic-auth.password": "server.basic-auth.password",
    "kestra.server.basic-auth.realm": "server.basic-auth.realm",
    "kestra.server.basic-auth.username": "server.basic-auth.username",
    "kestra.server.termination-grace-period": "server.termination-grace",
    "kestra.storage.local.base-path": "storage.local.base-path",
    "kestra.tasks.defaults": "plugins.defaults",
    "kestra.tasks.sdk.authentication.api-token": "api.token",
    "kestra.tasks.sdk.authentication.password": "api.password",
    "kestra.tasks.sdk.authentication.username": "api.username",
    "kestra.url": "url",
    "kestra.variables.env-vars-prefix": "variables.env-vars-prefix",
    "kestra.variables.globals": "variables.globals",
    "kestra.variables.recursive-rendering": "variables.recursive-rendering",
    "endpoints.all.port": "server.management-port",
    "micronaut.server.host": "server.host",
    "micronaut.server.port": "server.port",
}
BACKENDS: Final[Mapping[str, frozenset[str]]] = {
    "kestra.queue.type": frozenset({"postgres", "kafka", "memory"}),
    "kestra.storage.type": frozenset({"local", "minio", "s3"}),
}
"""Choices of a backend: taken over when Tiercel has it, else warned about."""
ONLY: Final[Mapping[str, str]] = {"kestra.repository.type": "postgres"}
"""Backends that cannot be chosen: there is one."""
SAME: Final[Mapping[str, str]] = {"minio": "s3"}
"""Backends that have another name here."""
BUCKET: Final = {
    name: f"storage.s3.{name}" for name in ("access-key", "bucket", "region", "secret-key", "session-token")
}
"""Settings of `kestra.storage.minio` and `kestra.storage.s3` that mean the same here."""
WITHOUT_CONSEQUENCE: Final = (
    "kestra.anonymous-usage-report",
    "kestra.tutorial-flows",
    "kestra.templates",
    "kestra.server-type",
    "flyway",
    "jackson",
)
_PLACEHOLDER: Final = re.compile(r"\$\{([A-Za-z_][\w.]*)(?::([^}]*))?\}")
_BUCKET: Final = re.compile(r"kestra\.storage\.(minio|s3)\.(\S+)")
_BUCKET_KEYS: Final = BUCKET.keys() | {"endpoint", "port", "secure", "path", "vhost", "force-path-style"}
_DATASOURCE: Final = re.compile(r"datasources\.(\w+)\.(\S+)")


def translate(tree: Mapping[str, Any], environment: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Return Tiercel's settings by path, and a warning for each key that has no meaning here."""
    values: dict[str, Any] = {}
    warnings: list[str] = []
    source: dict[str, Any] = {}
    buckets: dict[str, dict[str, Any]] = {}
    chosen = ""
    for path, value in _flat({key: tree[key] for key in tree if key in ROOTS}, ""):
        value = _filled(value, environment)
        if path in MEANINGS:
            values[MEANINGS[path]] = value
        elif path in BACKENDS:
            if value in BACKENDS[path]:
                values[path.removeprefix("kestra.")] = SAME.get(value, value)
                chosen = value if path == "kestra.storage.type" else chosen
            else:
                warnings.append(_unknown(path, value, BACKENDS[path]))
        elif path in ONLY:
            if value != ONLY[path]:
                warnings.append(_unknown(path, value, {ONLY[path]}))
        elif (found := _DATASOURCE.fullmatch(path)) and found[1] == "postgres":
            source[found[2].replace("_", "-")] = value
        elif (found := _BUCKET.fullmatch(path)) and found[2] in _BUCKET_KEYS:
            buckets.setdefault(found[1], {})[found[2]] = value
        elif not path.startswith(WITHOUT_CONSEQUENCE):
            warnings.append(f"'{path}' has no meaning for Tiercel; it is ignored.")
    if "url" in source:
        values["postgres.url"] = _address(str(source.pop("url")), source)
    values |= _bucket(buckets.get(chosen, {}))
    return values, warnings


def _unknown(path: str, value: Any, known: Collection[str]) -> str:
    named = " or ".join(sorted(known))
    return f"'{path}: {value}' has no meaning for Tiercel ({named} has); the default is used."


def _flat(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield leaves by dotted path in kebab-case; what stands below a known key is its value."""
    for key, value in tree.items():
        path = f"{prefix}{_kebab(str(key))}"
        if path in MEANINGS or not isinstance(value, dict):
            yield path, value
        else:
            yield from _flat(value, f"{path}.")


def _kebab(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", key).replace("_", "-").lower()


def _filled(value: Any, environment: Mapping[str, str]) -> Any:
    """Put environment variables in the place of `${NAME:default}`."""
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda found: environment.get(found[1], found[2] or ""), value)
    if isinstance(value, dict):
        return {key: _filled(inner, environment) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, environment) for inner in value]
    return value


def _address(url: str, source: Mapping[str, Any]) -> str:
    """Turn a JDBC address with its user into one address."""
    parts = urlsplit(url.removeprefix("jdbc:"))
    who = ":".join(quote(str(source[key]), safe="") for key in ("username", "password") if source.get(key))
    return urlunsplit(("postgresql", f"{who}@{parts.netloc}" if who else parts.netloc, parts.path, parts.query, ""))


def _bucket(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a bucket; MinIO's address is host, port and whether it is encrypted."""
    values = {BUCKET[name]: value for name, value in source.items() if name in BUCKET}
    if "endpoint" in source:
        endpoint = str(source["endpoint"])
        if "://" not in endpoint:
            scheme = "https" if says_true(source.get("secure", True)) else "http"
            port = f":{source['port']}" if "port" in source else ""
            endpoint = f"{scheme}://{endpoint}{port}"
        values["storage.s3.endpoint"] = endpoint
    if "path" in source:
        values["storage.s3.prefix"] = source["path"]
    if "vhost" in source:
        values["storage.s3.addressing"] = "virtual" if says_true(source["vhost"]) else "path"
    if "force-path-style" in source:
        values["storage.s3.addressing"] = "path" if says_true(source["force-path-style"]) else "auto"
    return values
