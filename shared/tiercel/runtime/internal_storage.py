"""
Internal storage by settings: a folder or a bucket.

The bucket's client is an extra (`tiercel[s3]`), so it is imported only when it is asked for.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from tiercel.errors import InvalidSettings
from tiercel.runtime.health import Check
from tiercel.runtime.settings import Settings
from tiercel.storage.base import Storage
from tiercel.storage.local import LocalStorage
from tiercel.storage.metered import MeteredStorage

if TYPE_CHECKING:
    from tiercel.storage.s3.storage import S3Storage


async def connect(
    settings: Settings, stack: AsyncExitStack, *, patient: bool, timeout_s: float
) -> tuple[Storage, dict[str, Check]]:
    """
    Return internal storage, ready to be used, and the checks of its health; the stack closes it.

    `patient` waits for a storage that is away; who answers somebody tries a few times and says so.
    """
    if settings.storage.type == "local":
        return MeteredStorage(LocalStorage(settings.storage_path)), {}
    bucket = _s3(settings, patient=patient)
    stack.push_async_callback(bucket.close)
    await bucket.check(timeout_s)
    return MeteredStorage(bucket), {"storage": bucket.ping}


def _s3(settings: Settings, *, patient: bool) -> S3Storage:
    try:
        from tiercel.storage.s3.storage import S3Storage  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise InvalidSettings(
            f"'storage.type' is s3, which needs the extra 's3': pip install 'tiercel[s3]' ({error})."
        ) from error
    return S3Storage(settings.storage.s3, patient=patient)
