"""Secrets never reach a log: every occurrence becomes the same stars, which do not even tell its length."""

from __future__ import annotations

from typing import Final

from tiercel.model.mask import STARS

LINE_LENGTH_MIN: Final = 8
"""Characters of a line of a longer secret that is masked by itself: shorter ones are brackets and the like."""


class Mask:
    """Knows the secrets that a run has seen."""

    __slots__ = ("_secrets",)

    def __init__(self) -> None:
        self._secrets: list[str] = []

    def add(self, secret: str | None) -> None:
        """Mask a text from now on, and each of its lines, because logs are cut at lines."""
        if not secret:
            return
        lines = secret.splitlines() if "\n" in secret else []
        for text in (secret, *(line for line in lines if len(line) >= LINE_LENGTH_MIN)):
            if text.strip() and text not in self._secrets:
                self._secrets.append(text)
                self._secrets.sort(key=len, reverse=True)

    def apply(self, message: str) -> str:
        """Return the message without secrets."""
        if not self._secrets:
            return message
        for secret in self._secrets:
            if secret in message:
                message = message.replace(secret, STARS)
        return message
