"""
A real MinIO server, one drive, for tests: `with MinioServer(folder) as server: server.address`.

It is ready in a second and comes back at the same address with its files after a restart.
"""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

import msgspec

from backing import minio_files
from backing.process import BackingProcess
from tiercel.errors import InvalidSettings

ACCESS_KEY: Final = "tiercel-tests"
SECRET_KEY: Final = "only-for-tests-on-this-machine"
REGION: Final = "us-east-1"
"""Named, so that the server is as strict about regions as others are."""
KMS_KEY: Final = "tiercel-key:OSMM+vkKUTCvQs9YL/CVMIMt43HFhkUpqJxTmGl6rYw="
"""Lets the server encrypt: without a key of its own MinIO refuses SSE-S3 and SSE-KMS."""
SETTINGS: Final[Mapping[str, str]] = {
    "MINIO_ROOT_USER": ACCESS_KEY,
    "MINIO_ROOT_PASSWORD": SECRET_KEY,
    "MINIO_KMS_SECRET_KEY": KMS_KEY,
    "MINIO_SITE_REGION": REGION,
    "MINIO_BROWSER": "off",
    "MINIO_UPDATE": "off",
    "MINIO_API_REQUESTS_DEADLINE": "10s",
    "MINIO_API_DELETE_CLEANUP_INTERVAL": "1s",  # else gigabytes that were deleted stay for five minutes
}
PROBE_TIMEOUT_S: Final = 1.0
"""A server that is there answers in milliseconds."""
ANY_CERTIFICATE: Final = ssl._create_unverified_context()
"""Whether it is ready is asked on our own machine."""


class S3Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where an object store is and who may use it: `http://key:secret@host:port`."""

    endpoint: str
    """`http://host:port`."""
    access_key: str
    secret_key: str

    @classmethod
    def read(cls, url: str) -> S3Address:
        """Read an address; raise InvalidSettings when a part is missing."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not (parts.hostname and parts.username and parts.password):
            raise InvalidSettings(f"'{url}' is not an address like 'http://key:secret@host:port'.")
        place = parts.netloc.rpartition("@")[2]
        return cls(
            endpoint=f"{parts.scheme}://{place}",
            access_key=unquote(parts.username),
            secret_key=unquote(parts.password),
        )

    def environment(self, bucket: str) -> dict[str, str]:
        """Return the variables that make Tiercel keep its files in a bucket here."""
        return {
            "TIERCEL_STORAGE_TYPE": "s3",
            "TIERCEL_STORAGE_S3_ENDPOINT": self.endpoint,
            "TIERCEL_STORAGE_S3_ACCESS_KEY": self.access_key,
            "TIERCEL_STORAGE_S3_SECRET_KEY": self.secret_key,
            "TIERCEL_STORAGE_S3_BUCKET": bucket,
        }

    @property
    def url(self) -> str:
        """The address as one text, as the environment holds it."""
        scheme, _, place = self.endpoint.partition("://")
        return f"{scheme}://{quote(self.access_key, safe='')}:{quote(self.secret_key, safe='')}@{place}"


class MinioServer(BackingProcess):
    """A server with a folder and a port of its own."""

    name = "minio"

    def __init__(
        self, folder: Path, *, environment: Mapping[str, str] | None = None, certificates: Path | None = None
    ) -> None:
        """`certificates` is a folder with `public.crt` and `private.key`: with it the server speaks TLS."""
        super().__init__(folder)
        self._environment = dict(environment or {})
        self._certificates = certificates

    @property
    def address(self) -> S3Address:
        scheme = "https" if self._certificates else "http"
        return S3Address(endpoint=f"{scheme}://127.0.0.1:{self.port}", access_key=ACCESS_KEY, secret_key=SECRET_KEY)

    @property
    def data(self) -> Path:
        """The folder of its files."""
        return self.folder / "data"

    def _command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        self.data.mkdir(exist_ok=True)
        options = ["--quiet", "--address", f"127.0.0.1:{self.port}"]
        if self._certificates is not None:
            options += ["--certs-dir", str(self._certificates)]
        return [str(minio_files.binary()), "server", *options, str(self.data)], {**SETTINGS, **self._environment}

    def _is_ready(self, log_begin: int) -> bool:
        return answers(self.address.endpoint)


def answers(endpoint: str) -> bool:
    """Tell whether a server can be used."""
    # Its own page of readiness says so while requests are refused still; a stranger's request is answered properly.
    try:
        with urllib.request.urlopen(endpoint, timeout=PROBE_TIMEOUT_S, context=ANY_CERTIFICATE):
            return True
    except urllib.error.HTTPError as error:
        return error.code == HTTPStatus.FORBIDDEN
    except (urllib.error.URLError, OSError):
        return False


def prepare() -> None:
    """Have everything in the cache that a start needs."""
    minio_files.binary()
