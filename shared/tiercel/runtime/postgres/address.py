"""Addresses of databases, as settings name them."""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import conninfo

_SCHEMES: Final = ("postgresql://", "postgres://")


def require_address(address: str) -> None:
    """Raise ValueError unless this is the address of a database: what is wrong with it no server can tell."""
    if not address.startswith(_SCHEMES):
        raise ValueError("it must be like postgresql://user:password@host:5432/database.")
    try:
        parts = conninfo.conninfo_to_dict(address)
    except psycopg.ProgrammingError as error:
        raise ValueError(f"{str(error).strip()}.") from error
    if not parts.get("dbname"):
        raise ValueError("it names no database; it must be like postgresql://user:password@host:5432/database.")
    for port in str(parts.get("port") or "").split(","):
        if port and not (port.isdigit() and 0 < int(port) < 65536):
            raise ValueError(f"the port '{port}' is no number between 1 and 65535.")
