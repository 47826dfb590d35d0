"""What is the same for all executions of this process, made from its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tiercel.errors import ExpressionError
from tiercel.executor.core.facts import Ignored, Surroundings
from tiercel.executor.settings import ExecutorSettings
from tiercel.expression.rendering import Engine
from tiercel.secrets.encryption import Encryption, is_sealed


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
            flows=frozenset(settings.ignored_flows),
            namespaces=frozenset(settings.ignored_namespaces),
        ),
    )


def _unsealer(encryption: Encryption | None) -> Callable[[Any], Any]:
    """Return what replaces encrypted values by their texts, inside maps and lists."""

    def unseal(value: Any) -> Any:
        if is_sealed(value):
            if encryption is None:
                raise ExpressionError("A value is encrypted, but no encryption key is set.")
            try:
                return encryption.decrypt(value["value"])
            except ValueError as error:
                raise ExpressionError(f"An encrypted value cannot be read with this key: {error}") from error
        if isinstance(value, Mapping):
            return {key: unseal(item) for key, item in value.items()}
        if isinstance(value, list):
            return [unseal(item) for item in value]
        return value

    return unseal
