"""What a bucket does beyond the contract of storage: it is away and comes back, is encrypted, and is set up wrong."""

from __future__ import annotations

import asyncio
import random
import socket
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import minio.time
import pytest
from minio import Minio, MinioAdmin
from minio.credentials.providers import StaticProvider

from backing.minio import KMS_KEY, REGION, MinioServer, S3Address
from backing.process import free_port
from tests.contract.bucket import START_TIMEOUT_S, bucket_of
from tests.contract.certificate import write_certificate
from tests.patience import PATIENCE_S
from tiercel.errors import Conflict, InvalidSettings, NotFound, Refused, Unavailable
from tiercel.storage.s3 import download
from tiercel.storage.s3.settings import S3Settings, TlsSettings
from tiercel.storage.s3.storage import S3Storage

TENANT = "main"
FILE = "kestra:///company/team/flow/file.bin"
PART = 5 << 20
"""Bytes of a part: the least that S3 allows."""


def name() -> str:
    return f"test-{uuid.uuid4().hex}"


async def opened(settings: S3Settings, *, patient: bool = True) -> S3Storage:
    storage = S3Storage(settings, patient=patient)
    await storage.check(START_TIMEOUT_S)
    return storage


async def rejection(settings: S3Settings, timeout_s: float = START_TIMEOUT_S) -> str:
    """Return the sentence with which a start ends."""
    with pytest.raises(InvalidSettings) as caught:
        await S3Storage(settings).check(timeout_s)
    return str(caught.value)


def admin(address: S3Address) -> Minio:
    place = address.endpoint.partition("://")[2]
    return Minio(place, address.access_key, address.secret_key, secure=address.endpoint.startswith("https"))


def accounts(address: S3Address) -> MinioAdmin:
    keys = StaticProvider(address.access_key, address.secret_key)
    place = address.endpoint.partition("://")[2]
    return MinioAdmin(endpoint=place, credentials=keys, region=REGION, secure=False)


# The store is away, and comes back.


@pytest.mark.parametrize("immediately", [False, True], ids=["cleanly", "by a power cut"])
async def test_when_the_store_restarts_in_the_middle_of_an_upload_nothing_is_lost(
    minio_server: MinioServer, immediately: bool
) -> None:
    """A part that did not arrive is sent again, though its source cannot be read twice."""
    storage = await opened(bucket_of(minio_server.address, name()))
    parts = [bytes([number]) * PART for number in range(8)]

    async def source() -> AsyncIterator[bytes]:
        for number, part in enumerate(parts):
            if number == 4:
                await asyncio.to_thread(minio_server.restart, immediately=immediately)
            yield part

    async with asyncio.timeout(PATIENCE_S):
        await storage.put(TENANT, FILE, source())

        assert b"".join(parts) == await storage.read(TENANT, FILE)
    await storage.close()


async def test_when_the_store_restarts_in_the_middle_of_a_download_the_reader_waits(minio_server: MinioServer) -> None:
    """It gets all bytes, once."""
    storage = await opened(bucket_of(minio_server.address, name(), parts_in_flight=1))
    content = bytes(range(256)) * (8 * PART // 256)
    await storage.put(TENANT, FILE, content)

    async with asyncio.timeout(PATIENCE_S), storage.open(TENANT, FILE) as chunks:
        found = [await anext(chunks)]
        await asyncio.to_thread(minio_server.stop)
        following = asyncio.create_task(rest(chunks))
        await asyncio.to_thread(minio_server.start)
        found += await following

    assert content == b"".join(found)
    await storage.close()


async def rest(chunks: AsyncIterator[bytes]) -> list[bytes]:
    return [chunk async for chunk in chunks]


async def test_when_the_store_is_away_who_answers_somebody_says_so(minio_server: MinioServer) -> None:
    """A request is tried a few times and fails with the address and the question that helps."""
    storage = await opened(bucket_of(minio_server.address, name()), patient=False)
    await asyncio.to_thread(minio_server.stop)
    try:
        with pytest.raises(Unavailable, match=rf"'{minio_server.address.endpoint}' \('storage.s3.endpoint'\).*running"):
            await storage.read(TENANT, FILE)
        assert "Connection refused" in str(await storage.ping())
    finally:
        await asyncio.to_thread(minio_server.start)
    assert await storage.ping() is None
    await storage.close()


async def test_when_a_source_breaks_no_part_of_it_stays_in_the_store(minio_server: MinioServer) -> None:
    """An upload that was given up is taken back, so that nobody pays for it."""
    settings = bucket_of(minio_server.address, name())
    storage = await opened(settings)

    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * (3 * PART)
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        await storage.put(TENANT, FILE, broken())

    uploads = admin(minio_server.address)._list_multipart_uploads(
        settings.bucket or "", prefix="main/company/team/flow"
    )
    assert [] == uploads.uploads
    with pytest.raises(NotFound, match=FILE):
        await storage.read(TENANT, FILE)
    await storage.close()


async def test_when_a_file_is_replaced_while_it_is_read_the_reader_is_told(minio_server: MinioServer) -> None:
    """Two contents are never mixed."""
    storage = await opened(bucket_of(minio_server.address, name(), parts_in_flight=1))
    await storage.put(TENANT, FILE, b"1" * (4 * PART))

    async with storage.open(TENANT, FILE) as chunks:
        await anext(chunks)
        await storage.put(TENANT, FILE, b"2" * (4 * PART))
        with pytest.raises(Conflict, match=f"'{FILE}' was replaced while it was read"):
            await rest(chunks)
    await storage.close()


async def test_a_file_of_many_ranges_is_fetched_whole(
    s3: S3Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each range lands at its place, whichever comes first; a file that was there before is replaced."""
    monkeypatch.setattr(download, "FILE_RANGE", 1 << 20)
    storage = await opened(bucket_of(s3, name()))
    target = tmp_path / "fetched"
    for size in (9 << 20, (9 << 20) + 1, (9 << 20) - 1):
        content = random.Random(size).randbytes(size)
        await storage.put(TENANT, FILE, content)

        assert size == await storage.fetch(TENANT, FILE, target)
        assert content == target.read_bytes()
    await storage.close()


async def test_when_a_file_vanishes_while_it_is_read_the_reader_is_told(minio_server: MinioServer) -> None:
    """The sentence names the file."""
    storage = await opened(bucket_of(minio_server.address, name(), parts_in_flight=1))
    await storage.put(TENANT, FILE, b"1" * (4 * PART))

    async with storage.open(TENANT, FILE) as chunks:
        await anext(chunks)
        await storage.delete(TENANT, FILE)
        with pytest.raises(NotFound, match=FILE):
            await rest(chunks)
    await storage.close()


async def test_a_stream_with_too_many_parts_is_refused_with_the_setting(
    minio_server: MinioServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 has a limit of parts; who has larger files chooses larger parts."""
    monkeypatch.setattr("tiercel.storage.s3.upload.PARTS_MAX", 3)
    storage = await opened(bucket_of(minio_server.address, name()))

    async def source() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"x" * PART

    with pytest.raises(Refused, match=r"more than 3 parts.*'storage\.s3\.part-size-mb'"):
        await storage.put(TENANT, FILE, source())
    await storage.close()


# Settings.


@pytest.mark.parametrize("encryption", ["s3", "kms"])
async def test_an_encrypted_file_is_read_and_is_not_on_the_disk(minio_server: MinioServer, encryption: str) -> None:
    """The store encrypts small and large files, and who reads them need not know."""
    key = KMS_KEY.partition(":")[0] if encryption == "kms" else None
    storage = await opened(bucket_of(minio_server.address, name(), encryption=encryption, kms_key_id=key))
    secret = b"nobody shall read this on a disk"

    await storage.put(TENANT, "/small", secret, metadata={"k": "v"})
    await storage.put(TENANT, "/large", secret * (PART // 16))
    await storage.move(TENANT, "/small", "/moved")

    assert secret == await storage.read(TENANT, "/moved")
    assert secret * (PART // 16) == await storage.read(TENANT, "/large")
    stored = [path for path in minio_server.data.rglob("*") if path.is_file()]
    assert [] == [path for path in stored if secret in path.read_bytes()]
    await storage.close()


@pytest.mark.parametrize("addressing", ["path", "virtual"])
async def test_a_bucket_is_a_part_of_the_path_or_of_the_host_as_the_setting_says(
    minio_server: MinioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, addressing: str
) -> None:
    """Both move small and large files; whose name is asked for is told by a resolver of our own."""
    asked: set[str] = set()
    resolve = socket.getaddrinfo

    def resolved(name: str, *arguments: Any, **named: Any) -> Any:
        asked.add(name)
        return resolve("127.0.0.1" if name.endswith(".test") else name, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    with MinioServer(tmp_path, environment={"MINIO_DOMAIN": "store.test"}) as server:
        bucket = name()
        settings = bucket_of(server.address, bucket, endpoint=f"http://store.test:{server.port}", addressing=addressing)
        storage = await opened(settings)
        await storage.put(TENANT, FILE, b"x" * (2 * PART))

        assert b"x" * (2 * PART) == await storage.read(TENANT, FILE)
        await storage.close()
    # In which region the bucket is the store itself is asked in any case.
    hosts = {"store.test", *([f"{bucket}.store.test"] if addressing == "virtual" else [])}
    assert hosts == {each for each in asked if each.endswith(".test")}


async def test_installations_with_different_prefixes_share_a_bucket(s3: S3Address) -> None:
    """Neither sees the other's files."""
    bucket = name()
    one = await opened(bucket_of(s3, bucket, prefix="/one/"))
    two = await opened(bucket_of(s3, bucket, prefix="two/deep"))
    await one.put(TENANT, FILE, b"1")
    await two.put(TENANT, FILE, b"2")

    assert b"1" == await one.read(TENANT, FILE)
    assert [FILE] == await two.by_prefix(TENANT, "/")
    keys = {found.object_name for found in admin(s3).list_objects(bucket, recursive=True)}
    assert {"one/main/company/team/flow/file.bin", "two/deep/main/company/team/flow/file.bin"} < keys
    await one.close()
    await two.close()


async def test_an_own_authority_is_trusted_by_its_file_only(tmp_path: Path) -> None:
    """Without its file, or with http in the address, the start ends with the setting's name."""
    authority = write_certificate(tmp_path / "certificates")
    with MinioServer(tmp_path / "minio", certificates=tmp_path / "certificates") as server:
        trusting = bucket_of(server.address, name(), tls=TlsSettings(ca_file=str(authority)))
        storage = await opened(trusting)
        await storage.put(TENANT, FILE, b"x" * (2 * PART))
        assert b"x" * (2 * PART) == await storage.read(TENANT, FILE)
        await storage.close()

        unknown = await rejection(bucket_of(server.address, name()))
        plain = await rejection(
            bucket_of(server.address, name(), endpoint=server.address.endpoint.replace("https", "http"))
        )

    assert "'storage.s3.tls.ca-file'" in unknown
    assert "'storage.s3.endpoint'" in plain
    assert "http or https" in plain


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"access_key": "nobody"}, ("does not know the access key", "'storage.s3.access-key'")),
        ({"secret_key": "wrong-secret"}, ("does not belong to the access key", "'storage.s3.secret-key'")),
        ({"session_token": "made-up"}, ("session token", "'storage.s3.session-token'")),
        ({"region": "eu-nowhere-1"}, ("another region", "'storage.s3.region'")),
        ({"create_bucket": False}, ("there is no bucket", "'storage.s3.create-bucket'")),
        ({"encryption": "kms", "kms_key_id": "no-such-key"}, ("no key 'no-such-key'", "'storage.s3.kms-key-id'")),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
async def test_a_wrong_setting_ends_the_start_with_its_name(
    minio_server: MinioServer, changes: dict[str, object], words: tuple[str, ...]
) -> None:
    """One sentence: what is wrong, which setting, what to do."""
    said = await rejection(bucket_of(minio_server.address, name(), **changes))

    assert [] == [word for word in words if word not in said], said
    assert 1 == len(said.splitlines())


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"endpoint": "127.0.0.1:9000"}, "storage.s3.endpoint"),
        ({"endpoint": "http://127.0.0.1:9000/minio"}, "storage.s3.endpoint"),
        ({"bucket": None}, "storage.s3.bucket"),
        ({"bucket": "No Bucket"}, "storage.s3.bucket"),
        ({"bucket": "no"}, "storage.s3.bucket"),
        ({"access_key": None}, "storage.s3.access-key"),
        ({"encryption": "kms"}, "storage.s3.kms-key-id"),
        ({"part_size_mb": 1}, "storage.s3.part-size-mb"),
        ({"parts_in_flight": 0}, "storage.s3.parts-in-flight"),
        ({"tls": TlsSettings(ca_file="/no/such/file")}, "storage.s3.tls.ca-file"),
        ({"tls": TlsSettings(key_file="/no/such/file")}, "storage.s3.tls.certificate-file"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anybody_is_asked(changes: dict[str, object], setting: str) -> None:
    """What can be seen without the store is not asked of it."""
    address = S3Address(endpoint="http://127.0.0.1:1", access_key="key", secret_key="secret")

    with pytest.raises(InvalidSettings, match=f"'{setting}'"):
        S3Storage(bucket_of(address, "bucket", **changes))


async def test_a_bucket_that_is_anothers_ends_the_start(minio_server: MinioServer) -> None:
    """The user is known, but may not do anything here."""
    root = admin(minio_server.address)
    bucket = name()
    root.make_bucket(bucket)
    own = {"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::mine", "arn:aws:s3:::mine/*"]}
    keys = {"access_key": "somebody-else", "secret_key": "another-secret"}
    policy = {"Version": "2012-10-17", "Statement": [own]}
    accounts(minio_server.address).add_service_account(**keys, policy=policy)

    said = await rejection(bucket_of(minio_server.address, bucket, **keys))

    assert f"may not do this in the bucket '{bucket}'; if the bucket is another's" in said
    assert "'storage.s3.bucket'" in said
    storage = await opened(bucket_of(minio_server.address, "mine", **keys))
    assert "kestra:///f" == await storage.put(TENANT, "/f", b"")
    await storage.close()


@pytest.mark.parametrize("hours", [-1, 1], ids=["behind", "ahead"])
async def test_a_clock_that_is_off_ends_the_start_with_both_times(
    minio_server: MinioServer, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """A signature holds for a quarter of an hour; who reads the sentence knows which clock to look at."""
    monkeypatch.setattr(minio.time, "utcnow", lambda: datetime.now(UTC) + timedelta(hours=hours))

    said = await rejection(bucket_of(minio_server.address, name()))

    assert "minutes apart; set this machine's clock" in said
    assert f"{datetime.now(UTC):%Y-%m-%d %H:}" in said


async def test_an_address_where_nobody_listens_ends_the_start_in_time() -> None:
    """The sentence names the address, the setting and the reason."""
    address = S3Address(endpoint=f"http://127.0.0.1:{free_port()}", access_key="key", secret_key="secret")

    with pytest.raises(Unavailable, match=r"'storage\.s3\.endpoint'\): .*[Cc]onnection refused.*Is it running\?"):
        await S3Storage(bucket_of(address, "bucket")).check(0.5)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 404 Not Found\r\n", b"HTTP/1.1 200 OK\r\n"])
async def test_an_address_that_is_no_object_store_ends_the_start(answer: bytes) -> None:
    """A port of something else is not mistaken for a store."""
    server = await asyncio.start_server(answering(answer), "127.0.0.1", free_port())
    port = server.sockets[0].getsockname()[1]
    address = S3Address(endpoint=f"http://127.0.0.1:{port}", access_key="key", secret_key="secret")
    async with server:
        said = await rejection(bucket_of(address, "bucket", region="us-east-1"))

    assert "'storage.s3.endpoint'" in said


def answering(head: bytes) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]:
    """Return a server that answers every request with the same page."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + b"content-type: text/html\r\ncontent-length: 9\r\nconnection: close\r\n\r\n<p>hi</p>")
        await writer.drain()
        writer.close()

    return serve
