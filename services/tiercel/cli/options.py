"""From arguments to settings: what the command line gives wins over the environment and the file."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from tiercel import assembly
from tiercel.cli.main import SERVICES
from tiercel.errors import InvalidSettings
from tiercel.runtime import settings, wiring
from tiercel.runtime.settings import Settings

CONFIG_VARIABLE = "TIERCEL_CONFIG"


def read(arguments: argparse.Namespace, **more: Any) -> Settings:
    """Return the settings; all processes may share one file, so that each knows the sections of all."""
    file = arguments.config or os.environ.get(CONFIG_VARIABLE)
    given = {
        "postgres.url": arguments.postgres,
        "data": arguments.data,
        "server.host": getattr(arguments, "host", None),
        "server.port": getattr(arguments, "port", None),
        "server.management-port": getattr(arguments, "management_port", None),
        **more,
    }
    environment = {name: value for name, value in os.environ.items() if name != CONFIG_VARIABLE}
    return settings.load(
        Path(file) if file else None,
        environment=environment,
        overrides=given,
        sections={name: assembly.settings_class(name) for name in SERVICES},
    )


def require_backends(read: Settings, service: str | None = None) -> None:
    """Refuse to start a single process without servers that it can share with the others."""
    if read.queue.type == "memory":
        raise InvalidSettings("A process of its own cannot share 'queue.type: memory' with others; use postgres.")
    if read.queue.type == "kafka" and service is not None and not wiring.CARDS[service] & wiring.STORED:
        return  # it reaches the brokers and nothing else
    if read.postgres.url is None:
        raise InvalidSettings(
            "Where is PostgreSQL? Give its address with --postgres, TIERCEL_POSTGRES_URL or 'postgres.url'."
        )
