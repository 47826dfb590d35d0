"""What becomes of an upload to a bucket when the store has done what was asked, and its answer is lost."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
import urllib3

from backing.minio import MinioServer
from tests.contract.bucket import START_TIMEOUT_S, bucket_of
from tests.patience import PATIENCE_S
from tiercel.errors import Refused
from tiercel.storage.s3.storage import S3Storage

TENANT = "main"
FILE = "kestra:///company/team/flow/file.bin"
PART = 5 << 20
"""Bytes of a part: the least that S3 allows."""


@pytest.mark.parametrize("is_there", [True, False], ids=["it is there", "another one is there"])
async def test_when_nobody_hears_that_an_upload_is_complete_it_is_looked_for(
    minio_server: MinioServer, is_there: bool
) -> None:
    """The store knows the upload no more then; an object of as many bytes and parts shows that it was completed."""
    storage = S3Storage(bucket_of(minio_server.address, f"test-{uuid.uuid4().hex}"))
    await storage.check(START_TIMEOUT_S)
    await storage.put(TENANT, FILE, b"o" * (PART + 1))
    client: Any = storage._client.minio
    complete, calls = client._complete_multipart_upload, []

    def unheard(bucket: str, key: str, upload_id: str, parts: Any) -> None:
        calls.append(upload_id)
        if len(calls) == 1:
            if is_there:
                complete(bucket, key, upload_id, parts)
            else:
                client._abort_multipart_upload(bucket, key, upload_id)
            raise urllib3.exceptions.ProtocolError("Connection broken")
        complete(bucket, key, upload_id, parts)

    client._complete_multipart_upload = unheard
    async with asyncio.timeout(PATIENCE_S):
        if is_there:
            await storage.put(TENANT, FILE, b"n" * (2 * PART))
        else:
            with pytest.raises(Refused, match="NoSuchUpload"):
                await storage.put(TENANT, FILE, b"n" * (2 * PART))

        found = await storage.read(TENANT, FILE)
    assert 2 == len(calls)
    assert found == (b"n" * (2 * PART) if is_there else b"o" * (PART + 1))
    await storage.close()
