"""Secrets never reach a log: every occurrence becomes as many stars, and a run of nine shows that it was a secret."""

from __future__ import annotations

from typing import Final

_MARK: Final = "**masked*"
_STARS: Final = "*" * len(_MARK)


class Mask:
    """Knows the secrets that a run has seen."""

    __slots__ = ("_secrets",)

    def __init__(self) -> None:
        self._secrets: list[str] = []

    def add(self, secret: str | None) -> None:
        """Mask a text from now on, and each of its lines, because logs are cut at lines."""
        if not secret:
            return
        for text in (secret, *secret.splitlines()) if "\n" in secret else (secret,):
            if text.strip() and text not in self._secrets:
                self._secrets.append(text)
                self._secrets.sort(key=len, reverse=True)

    def apply(self, message: str) -> str:
        """Return the message without secrets."""
        if not self._secrets:
            return message
        masked = message
        for secret in self._secrets:
            if secret in masked:
                masked = masked.replace(secret, "*" * len(secret))
        return message if masked == message else masked.replace(_STARS, _MARK, 1)
