"""
A real MinIO server, one drive, for tests: `with MinioServer(folder) as server: server.address`.

It is ready in a second and comes back at the same address with its files after a restart.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

import msgspec

from backing import minio_files
from backing.process import BackingProcess

ACCESS_KEY: Final = "tiercel-tests"
SECRET_KEY: Final = "only-for-tests-on-this-machine"
KMS_KEY: Final = "tiercel-key:OSMM+vkKUTCvQs9YL/CVMIMt43HFhkUpqJxTmGl6rYw="
"""Lets the server encrypt: without a key of its own MinIO refuses SSE-S3 and SSE-KMS."""
PROBE_TIMEOUT_S: Final = 1.0


class S3Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where an object store is and who may use it: `http://key:secret@host:port`."""

    endpoint: str
    """`http://host:port`."""
    access_key: str
    secret_key: str

    @classmethod
    def read(cls, url: str) -> S3Address:
        """Read an address; raise ValueError when a part is missing."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not (parts.hostname and parts.username and parts.password):
            raise ValueError(f"'{url}' is not an address like 'http://key:secret@host:port'.")
        place = parts.netloc.rpartition("@")[2]
        return cls(
            endpoint=f"{parts.scheme}://{place}",
            access_key=unquote(parts.username),
            secret_key=unquote(parts.password),
        )

    @property
    def url(self) -> str:
        """The address as one text, as the environment holds it."""
        scheme, _, place = self.endpoint.partition("://")
        return f"{scheme}://{quote(self.access_key, safe='')}:{quote(self.secret_key, safe='')}@{place}"


class MinioServer(BackingProcess):
    """A server with a folder and a port of its own."""

    name = "minio"

    def __init__(self, folder: Path, *, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(folder)
        self._environment = dict(environment or {})

    @property
    def address(self) -> S3Address:
        return S3Address(endpoint=f"http://127.0.0.1:{self.port}", access_key=ACCESS_KEY, secret_key=SECRET_KEY)

    @property
    def data(self) -> Path:
        """The folder of its files."""
        return self.folder / "data"

    def _command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        self.data.mkdir(exist_ok=True)
        environment = {
            "MINIO_ROOT_USER": ACCESS_KEY,
            "MINIO_ROOT_PASSWORD": SECRET_KEY,
            "MINIO_KMS_SECRET_KEY": KMS_KEY,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            "MINIO_API_REQUESTS_DEADLINE": "10s",
            **self._environment,
        }
        address = f"127.0.0.1:{self.port}"
        return [str(minio_files.binary()), "server", "--quiet", "--address", address, str(self.data)], environment

    def _is_ready(self, log_begin: int) -> bool:
        try:
            url = f"http://127.0.0.1:{self.port}/minio/health/ready"
            with urllib.request.urlopen(url, timeout=PROBE_TIMEOUT_S) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def prepare() -> None:
    """Have everything in the cache that a start needs."""
    minio_files.binary()
