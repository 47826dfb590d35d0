"""
Encryption of SECRET inputs and outputs with the installation's key (`kestra.encryption.secret-key`), by AES-GCM.

Messages, state and history hold only what `seal` returns; workers open it with the same key.
"""

from __future__ import annotations

import os
from base64 import b64decode
from binascii import Error as Base64Error
from typing import Final

from tiercel.errors import InvalidSettings
from tiercel.expression.encryption import ENCRYPTED_TYPE, IV_LENGTH, decrypt, encrypt

_KEY_SIZES: Final = (16, 24, 32)
"""Bytes of AES-128, AES-192 and AES-256."""


class Encryption:
    """Encrypts and decrypts texts with one key."""

    __slots__ = ("_key",)

    def __init__(self, key: str) -> None:
        """Take a key in base64; raise InvalidSettings when it is none of 16, 24 or 32 bytes."""
        try:
            size = len(b64decode(key, validate=True))
        except Base64Error as error:
            raise InvalidSettings(
                "The encryption key is not base64; make one with 'openssl rand -base64 32'."
            ) from error
        if size not in _KEY_SIZES:
            raise InvalidSettings(
                f"The encryption key has {size} bytes; make one of 32 with 'openssl rand -base64 32'."
            )
        self._key = key

    def encrypt(self, text: str) -> str:
        """Return the text encrypted, in base64; every call gives another one."""
        return encrypt(self._key, text, os.urandom(IV_LENGTH))

    def decrypt(self, encrypted: str) -> str:
        """Return the text; raise ValueError when it was not encrypted with this key."""
        return decrypt(self._key, encrypted)

    def seal(self, text: str) -> dict[str, str]:
        """Return the text encrypted, as the value that says so of itself."""
        return {"type": ENCRYPTED_TYPE, "value": self.encrypt(text)}
