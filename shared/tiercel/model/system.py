"""What belongs to the system and not to authors: labels that begin with `system.`, and one namespace."""

from __future__ import annotations

from typing import Final

SYSTEM_NAMESPACE: Final = "system"
"""Flows in it are the installation's own: lists show them apart."""
LABEL_PREFIX: Final = "system."
CORRELATION_ID: Final = "system.correlationId"
"""Names the execution that began it all: its own id, or its parent's value of this label."""
FROM: Final = "system.from"
"""What created the execution: the API, a trigger, a subflow."""
REPLAY: Final = "system.replay"
"""The execution repeats another one, which has the next label."""
REPLAYED: Final = "system.replayed"
RESTARTED: Final = "system.restarted"
READ_ONLY: Final = "system.readOnly"
"""The only one that an author may give to a flow."""


def is_system_label(key: str) -> bool:
    """Tell whether a label is the system's: no author and no request may set it."""
    return key.startswith(LABEL_PREFIX)
