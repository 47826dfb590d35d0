"""Which Tiercel this is, and on what it runs."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

__all__ = ["about", "of", "tiercel"]


def tiercel() -> str:
    """Return the version of the installed distribution."""
    return of("tiercel") or "0+unknown"


def of(distribution: str) -> str | None:
    """Return the version of an installed distribution, None when it is not there."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def about() -> dict[str, str]:
    """Return the versions that a report of a problem should name."""
    found = {"tiercel": tiercel(), "python": platform.python_version(), "system": platform.platform()}
    for name in ("psycopg", "msgspec", "litestar", "uvloop"):
        if (number := of(name)) is not None:
            found[name] = number
    return found
