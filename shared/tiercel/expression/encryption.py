"""
AES-GCM as Kestra stores secrets: a base64 key, a 12-byte IV in front of the text, the whole in base64.

A variable shaped `{type: io.kestra.datatype:aes_encrypted, value: …}` is such a secret.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ENCRYPTED_TYPE: Final = "io.kestra.datatype:aes_encrypted"
IV_LENGTH: Final = 12
"""Bytes, as Kestra writes them and AES-GCM is made for."""


def encrypt(key: str, text: str, iv: bytes) -> str:
    """Encrypt a text; raise ValueError for a key of a wrong size. The IV must never be used twice with a key."""
    if not text:
        return text
    return b64encode(iv + AESGCM(b64decode(key)).encrypt(iv, text.encode(), None)).decode()


def decrypt(key: str, encrypted: str) -> str:
    """Decrypt a text; raise ValueError when key and text do not belong together."""
    if not encrypted:
        return encrypted
    data = b64decode(encrypted)
    try:
        return AESGCM(b64decode(key)).decrypt(data[:IV_LENGTH], data[IV_LENGTH:], None).decode()
    except InvalidTag as error:
        raise ValueError("The text cannot be decrypted with this key.") from error


def is_sealed(value: Any) -> bool:
    """Tell whether a value is an encrypted text that says so of itself."""
    return isinstance(value, Mapping) and value.get("type") == ENCRYPTED_TYPE and isinstance(value.get("value"), str)


def unsealed(value: Any, read: Callable[[str], str]) -> Any:
    """Return a value with every such text in its maps and lists replaced by what `read` makes of it."""
    if isinstance(value, Mapping):
        if is_sealed(value):
            return read(value["value"])
        return {name: unsealed(item, read) for name, item in value.items()}
    if isinstance(value, list):
        return [unsealed(item, read) for item in value]
    return value
