"""
Who may come in: whoever knows the password, and no browser that acts for the page of another site.

Without a user the API listens on its own machine only and asks for nothing. Every page that is open in a browser there
could then make it store a flow and run it; and a browser that knows the password sends it for whoever asks. So what
changes something must come from a page of ours, or from no page at all.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from typing import Any, Final

from tiercel.webserver.settings import WebserverSettings

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing: what they answer, a browser does not show to the page of another site."""
ANYBODY: Final = "*"
ANONYMOUS: Final = "anonymous"
"""The name of a caller where no password is asked for."""


class Gate:
    """Knows the password, and the addresses of pages."""

    def __init__(self, settings: WebserverSettings) -> None:
        self._username = settings.username or ""
        pair = f"{settings.username}:{settings.password}".encode()
        self._credentials = b"Basic " + base64.b64encode(pair) if settings.username and settings.password else None
        self._open_urls = settings.open_urls
        self._has_guests = bool(settings.allowed_origins)
        scheme, _, rest = settings.base_url.partition("://")
        self._origins = frozenset({*settings.allowed_origins, f"{scheme}://{rest.partition('/')[0]}"})

    def is_open(self, path: str) -> bool:
        """Tell whether anybody may ask for a path, from anywhere: a webhook has a key of its own."""
        return path.startswith(self._open_urls)

    def knows(self, headers: Mapping[bytes, bytes]) -> bool:
        """Tell whether a request bears the password, or none is asked for."""
        return self._credentials is None or hmac.compare_digest(headers.get(b"authorization", b""), self._credentials)

    def actor(self, path: str) -> str:
        """Return who is asking for a path, once the password has been checked."""
        return self._username if self._credentials is not None and not self.is_open(path) else ANONYMOUS

    def is_preflight(self, method: str, headers: Mapping[bytes, bytes]) -> bool:
        """Tell whether a browser only asks what a page may ask for: it never sends the password with that."""
        return self._has_guests and method == "OPTIONS" and b"access-control-request-method" in headers

    def is_foreign(self, method: str, headers: Mapping[bytes, bytes]) -> bool:
        """Tell whether a browser sends something that changes things for a page that is not ours."""
        origin = headers.get(b"origin", b"").decode("latin-1")
        if method in SAFE or not origin or origin in self._origins or ANYBODY in self._origins:
            return False
        return origin.partition("://")[2] != headers.get(b"host", b"").decode("latin-1")


def headers_of(scope: Mapping[str, Any]) -> dict[bytes, bytes]:
    """Return the headers of a request by their names in lower case."""
    return dict(scope["headers"])
