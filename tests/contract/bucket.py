"""Settings of a bucket of the object store that tests have."""

from __future__ import annotations

from typing import Final

import msgspec

from backing.minio import S3Address
from tests.patience import PATIENCE_S
from tiercel.storage.s3.settings import S3Settings

START_TIMEOUT_S: Final = PATIENCE_S
PART_SIZE_MB: Final = 5
"""The smallest, so that files of some megabytes have several parts."""


def bucket_of(address: S3Address, name: str, /, **changes: object) -> S3Settings:
    """Return the settings of a bucket."""
    settings = S3Settings(
        endpoint=address.endpoint,
        access_key=address.access_key,
        secret_key=address.secret_key,
        bucket=name,
        part_size_mb=PART_SIZE_MB,
    )
    return msgspec.structs.replace(settings, **changes)
