"""What people see where a secret would stand."""

from __future__ import annotations

from typing import Final

STARS: Final = "******"
"""Always as many, as in Kestra: they do not tell how long the secret is."""
