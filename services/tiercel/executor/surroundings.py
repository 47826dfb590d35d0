"""What is the same for all executions of this process, made from its settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from tiercel.errors import ExpressionError, InvalidSettings
from tiercel.executor.core.facts import Ignored, Surroundings
from tiercel.executor.settings import ExecutorSettings
from tiercel.expression.encryption import unsealed
from tiercel.expression.rendering import Engine
from tiercel.model.tenant import MAIN_TENANT
from tiercel.secrets.encryption import Encryption


def surroundings_of(settings: ExecutorSettings) -> Surroundings:
    """Return the engines, the variables of the installation, and the hooks of the core."""
    encryption = Encryption(settings.encryption_key) if settings.encryption_key else None
    return Surroundings(
        engines={
            "1.x": Engine(dialect="1.x", recursive=settings.recursive_rendering),
            "2.x": Engine(dialect="2.x", recursive=settings.recursive_rendering),
        },
        globals=settings.globals,
        envs=settings.envs,
        kestra=settings.kestra,
        seal=encryption.seal if encryption is not None else None,
        unseal=_unsealer(encryption),
        jobs_max=settings.jobs_max,
        chunk=settings.chunk,
        ignored=Ignored(
            executions=frozenset(settings.ignored_executions),
            flows=_places(settings.ignored_flows, ("namespace", "flow"), "flows"),
            namespaces=_places(settings.ignored_namespaces, ("namespace",), "namespaces"),
            tenants=frozenset(settings.ignored_tenants),
        ),
    )


def _places(texts: Iterable[str], parts: tuple[str, ...], setting: str) -> frozenset[str]:
    """Read places with or without their tenant; raise InvalidSettings for one of another form."""
    found = set()
    for text in texts:
        given = text.split("|")
        if len(given) not in (len(parts), len(parts) + 1) or not all(given):
            form = "|".join(parts)
            raise InvalidSettings(
                f"'executor.ignored-{setting}' takes '{form}' or 'tenant|{form}', but one of it is '{text}'."
            )
        found.add(text if len(given) > len(parts) else f"{MAIN_TENANT}|{text}")
    return frozenset(found)


def _unsealer(encryption: Encryption | None) -> Callable[[Any], Any]:
    """Return what replaces encrypted values by their texts, inside maps and lists; without a key they are in clear."""

    def read(encrypted: str) -> str:
        if encryption is None:
            return encrypted
        try:
            return encryption.decrypt(encrypted)
        except ValueError as error:
            raise ExpressionError(f"An encrypted value cannot be read with this key: {error}") from error

    return partial(unsealed, read=read)
