"""
The connection to an object store: requests run in a bounded pool of threads, what is away for a while is waited for.

The client library is synchronous and is given its connections here: one try per request, with time limits. How often
and how long we try again is decided in one place (`tiercel.runtime.retry`), and by who waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import certifi
import urllib3
from minio import Minio
from minio.credentials.providers import AWSConfigProvider, ChainedProvider, EnvAWSProvider, IamAwsProvider, Provider
from minio.error import S3Error
from minio.helpers import check_bucket_name
from minio.sse import Sse, SseKMS, SseS3
from tenacity import AsyncRetrying

from tiercel.errors import InvalidSettings, TiercelError, Unavailable
from tiercel.runtime import retry
from tiercel.storage.s3 import failure
from tiercel.storage.s3.failure import Rejected
from tiercel.storage.s3.settings import S3Settings

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S: Final = 5.0
"""A store that is there takes a connection within a round trip."""
READ_TIMEOUT_S: Final = 60.0
"""Silence after which a request is given up: a store that is busy answers slowly, one that hangs never does."""
PROBE: Final = ".tiercel"
"""An empty object beside the tenants' folders: who can write it at start can write."""
NAME: Final = "object store"
PART_SIZE_MB: Final = range(5, 1025)
"""S3 takes no smaller parts, and several of them are in memory."""

T = TypeVar("T")


class S3Client:
    """Asks an object store, and waits for it when it is away."""

    def __init__(self, settings: S3Settings, *, patient: bool = True) -> None:
        """`patient` waits without an end; who answers somebody tries a few times and fails."""
        self.settings = settings
        self.bucket, self.prefix = checked(settings)
        self.minio = _minio(settings)
        self.encryption = encryption(settings)
        self.encryption_headers = self.encryption.headers() if self.encryption else {}
        self._patience = retry.backend if patient else retry.request
        self._threads = ThreadPoolExecutor(settings.connections_max, thread_name_prefix="storage-s3")

    async def call(self, function: Callable[..., T], *arguments: Any, uri: str | None = None, **named: Any) -> T:
        """Run a blocking function in a thread; try again while the store is away."""
        return await self._tried(self._patience(NAME), lambda: self._translated(function, arguments, named, uri))

    async def thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run a blocking function that does not ask the store, such as one that reads a disk."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def attempt(self, function: Callable[..., T], *arguments: Any) -> T | None:
        """Try what need not succeed, such as cleaning up, a few times."""
        try:
            return await self._tried(retry.request(NAME), lambda: self._translated(function, arguments, {}, None))
        except TiercelError as error:
            log.warning("cleaning up failed: %s", error, extra={"action": "storage_cleanup_failed"})
            return None

    async def check(self, timeout_s: float) -> None:
        """Find the bucket, or make it, and write to it; raise InvalidSettings with what the operator must change."""

        def probe() -> None:
            try:
                self._translated(self._find_bucket, (), {}, None)
                self._translated(self._write_probe, (), {}, None)
            except Rejected as error:
                raise InvalidSettings(str(error)) from error

        try:
            await self._tried(retry.start(NAME, timeout_s), probe)
        except InvalidSettings:
            raise
        except TiercelError as error:
            if isinstance(error, Unavailable):
                raise
            raise InvalidSettings(str(error)) from error

    async def ping(self) -> str | None:
        """Return None when the bucket can be used now, else why not."""
        try:
            await self.thread(self._translated, self._list_one, (), {}, None)
        except TiercelError as error:
            return str(error)
        return None

    async def close(self) -> None:
        """Close all connections; what runs still ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.minio._http.clear()

    async def _tried(self, patience: AsyncRetrying, function: Callable[[], T]) -> T:
        async for attempt in patience:
            with attempt:
                return await self.thread(function)
        raise Unavailable("The object store cannot be reached.")

    def _translated(self, function: Callable[..., T], arguments: Any, named: Any, uri: str | None) -> T:
        try:
            return function(*arguments, **named)
        except failure.RAISED as error:
            raise failure.translated(error, self.settings, uri) from error

    def _list_one(self) -> None:
        next(iter(self.minio._list_objects(self.bucket, prefix=self.prefix, max_keys=1)), None)

    def _find_bucket(self) -> None:
        # A listing, since it is answered with a reason; the usual HEAD request has only a number.
        try:
            self._list_one()
        except S3Error as error:
            if error.code != "NoSuchBucket" or not self.settings.create_bucket:
                raise
            self._make_bucket()

    def _make_bucket(self) -> None:
        try:
            self.minio.make_bucket(self.bucket, location=self.settings.region)
        except S3Error as error:
            if error.code != "BucketAlreadyOwnedByYou":  # another process of ours was faster
                raise
        log.info("bucket made", extra={"action": "bucket_created", "bucket": self.bucket})

    def _write_probe(self) -> None:
        self.minio._put_object(self.bucket, self.prefix + PROBE, b"", {**self.encryption_headers})


def checked(settings: S3Settings) -> tuple[str, str]:
    """Return bucket and prefix; raise InvalidSettings with everything that can be seen to be wrong from here."""
    wrong = []
    parts = urlsplit(settings.endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        wrong.append(f"'storage.s3.endpoint' is '{settings.endpoint}'; it must be like 'http://host:9000'.")
    if not settings.bucket:
        wrong.append("'storage.s3.bucket' is not set; name the bucket that files go to.")
    else:
        try:
            check_bucket_name(settings.bucket)
        except ValueError as error:
            wrong.append(
                f"'storage.s3.bucket' cannot be right: {error}. A bucket's name has 3 to 63 small letters, digits, "
                "hyphens and dots."
            )
    if (settings.access_key is None) != (settings.secret_key is None):
        wrong.append("'storage.s3.access-key' and 'storage.s3.secret-key' belong together; set both or none.")
    if settings.encryption == "kms" and not settings.kms_key_id:
        wrong.append("'storage.s3.encryption' is kms; name the key in 'storage.s3.kms-key-id'.")
    if settings.part_size_mb not in PART_SIZE_MB:
        wrong.append(f"'storage.s3.part-size-mb' is {settings.part_size_mb}; it must be from 5 to 1024.")
    if settings.parts_in_flight < 1 or settings.connections_max < 1:
        wrong.append("'storage.s3.parts-in-flight' and 'storage.s3.connections-max' must be at least 1.")
    if (settings.tls.certificate_file is None) != (settings.tls.key_file is None):
        wrong.append("'storage.s3.tls.certificate-file' and '.key-file' belong together; set both or none.")
    if wrong:
        raise InvalidSettings("\n".join(wrong))
    prefix = settings.prefix.strip("/")
    return settings.bucket or "", f"{prefix}/" if prefix else ""


def encryption(settings: S3Settings) -> Sse | None:
    """Return how the store shall encrypt what it is given."""
    match settings.encryption:
        case "s3":
            return SseS3()
        case "kms":
            return SseKMS(settings.kms_key_id or "", {})
        case _:
            return None


def _minio(settings: S3Settings) -> Minio:
    parts = urlsplit(settings.endpoint)
    try:
        client = Minio(
            parts.netloc,
            access_key=settings.access_key,
            secret_key=settings.secret_key,
            session_token=settings.session_token,
            secure=parts.scheme == "https",
            region=settings.region,
            credentials=_credentials(parts.hostname or "") if settings.access_key is None else None,
            http_client=_connections(settings),
        )
    except ValueError as error:
        raise InvalidSettings(f"The settings 'storage.s3.…' are wrong: {error}.") from error
    if settings.addressing != "auto":
        client._base_url.virtual_style_flag = settings.addressing == "virtual"
    return client


def _credentials(host: str) -> Provider:
    """Return where keys are looked for that the settings do not name."""
    places: list[Provider] = [EnvAWSProvider(), AWSConfigProvider()]
    if host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        places.append(IamAwsProvider())
    return ChainedProvider(places)


def _connections(settings: S3Settings) -> urllib3.PoolManager:
    tls = settings.tls
    for name, file in (("ca", tls.ca_file), ("certificate", tls.certificate_file), ("key", tls.key_file)):
        if file is not None:
            _readable(f"storage.s3.tls.{name}-file", file)
    return urllib3.PoolManager(
        maxsize=settings.connections_max,
        timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S),
        retries=False,
        cert_reqs="CERT_REQUIRED" if tls.verify else "CERT_NONE",
        ca_certs=tls.ca_file or certifi.where(),
        cert_file=tls.certificate_file,
        key_file=tls.key_file,
    )


def _readable(setting: str, file: str) -> None:
    try:
        with open(file, "rb"):
            return
    except OSError as error:
        raise InvalidSettings(f"'{setting}' is '{file}', which cannot be read: {error.strerror}.") from error
