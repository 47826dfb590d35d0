"""The port of secret managers: named secrets of a namespace."""

from __future__ import annotations

from typing import Protocol


class Secrets(Protocol):
    """Finds secrets by name. Values never leave the process that asked."""

    def get(self, tenant_id: str, namespace: str, key: str) -> str:
        """Return a secret; raise NotFound with a sentence that names it. May block: callers use a thread."""
        ...

    def names(self, tenant_id: str, namespace: str) -> list[str]:
        """Return the names of the secrets that the namespace can use."""
        ...
