"""Filters that encode, decode and digest."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_plus, unquote_plus

from tiercel.expression.printing import java_text
from tiercel.expression.runtime import Call
from tiercel.expression.signature import Args, Filter


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else java_text(value).encode()


def _digest(algorithm: str) -> Filter:
    def apply(value: Any, args: Args, call: Call) -> Any:
        return None if value is None else hashlib.new(algorithm, _bytes(value), usedforsecurity=False).hexdigest()

    return Filter(apply)


def _on_value(action: Callable[[Any], str]) -> Filter:
    return Filter(lambda value, args, call: None if value is None else action(value))


def _decoded(value: Any) -> str:
    """Decode as Java does: the padding may be missing, nothing else may."""
    text = java_text(value)
    return b64decode(text + "=" * (-len(text) % 4 if "=" not in text else 0), validate=True).decode("utf-8", "replace")


FILTERS: Mapping[str, Filter] = {
    "base64decode": _on_value(_decoded),
    "base64encode": _on_value(lambda value: b64encode(_bytes(value)).decode()),
    "md5": _digest("md5"),
    "sha1": _digest("sha1"),
    "sha256": _digest("sha256"),
    "sha512": _digest("sha512"),
    "urldecode": _on_value(lambda value: unquote_plus(java_text(value))),
    # Java's URLEncoder leaves these four alone, and encodes the tilde.
    "urlencode": _on_value(lambda value: quote_plus(java_text(value), safe="*").replace("~", "%7E")),
}
