"""
Secrets in environment variables: `SECRET_<KEY>` holds the value in base64 (reference 7.7).

Every namespace sees all of them; keys are found whatever the case of their letters.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from typing import Final

from tiercel.errors import NotFound, OperatorError

PREFIX: Final = "SECRET_"


class EnvironmentSecrets:
    """Finds secrets in the environment that the process was started with."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        source = os.environ if environment is None else environment
        self._encoded = {
            name[len(PREFIX) :].upper(): value for name, value in source.items() if name.upper().startswith(PREFIX)
        }

    def get(self, tenant_id: str, namespace: str, key: str) -> str:
        """Return a secret; raise NotFound with a sentence that names it."""
        encoded = self._encoded.get(key.upper())
        if encoded is None:
            raise NotFound(f"Cannot find secret for key '{key}'.")
        try:
            return base64.b64decode("".join(encoded.split()), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise OperatorError(
                f"The environment variable '{PREFIX}{key.upper()}' is not base64; write it with `base64 -w0`."
            ) from error

    def names(self, tenant_id: str, namespace: str) -> list[str]:
        """Return the names of all secrets."""
        return sorted(self._encoded)
