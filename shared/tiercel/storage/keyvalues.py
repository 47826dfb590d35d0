"""
The key-value store of namespaces, kept in internal storage so that a worker needs no database (reference 7.3).

A value is one Ion text at `/<namespace>/_kv/<key>.ion`; when it expires, what it is for and when it was first set stand
in the file's metadata. A value whose time is over does not exist: who reads it deletes it and is told so. Earlier
values stay as versions until they are purged (`tiercel.storage.versions`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tiercel.errors import Conflict, NotFound, Refused
from tiercel.expression import ion
from tiercel.model.duration import later, parse_duration
from tiercel.model.tenant import MAIN_TENANT
from tiercel.runtime.clock import Clock, SystemClock
from tiercel.storage import uris
from tiercel.storage.base import FileAttributes, KeyValueEntry, Storage
from tiercel.storage.versions import Versions, instant_of, updated_at, version_of

_KEY: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]*")
_DURATION: Final = re.compile(r"-?P(?=.)(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?")
_SUFFIX: Final = ".ion"
VALUE_SIZE_MAX: Final = 16 << 20
"""Bytes of one value; a larger one belongs into a file."""


class KeyExpired(NotFound):
    """The key existed, but its time is over."""


class KeyExists(Conflict):
    """The key exists and must not be overwritten."""


def check_key(key: str) -> None:
    """Raise Refused unless the text can be a key."""
    problem = key_problem(key)
    if problem is not None:
        raise Refused(problem)


def key_problem(key: str) -> str | None:
    """Tell why a text can be no key, None when it can."""
    if _KEY.fullmatch(key):
        return None
    return (
        "Key must start with an alphanumeric character (uppercase or lowercase) and can contain alphanumeric "
        "characters (uppercase or lowercase), dots (.), underscores (_), and hyphens (-) only."
    )


def ancestry(namespace: str) -> Iterator[str]:
    """Yield a namespace and those above it, nearest first."""
    while namespace:
        yield namespace
        namespace = namespace.rpartition(".")[0]


class StorageKeyValues:
    """The key-value pairs of one tenant's namespaces."""

    def __init__(self, storage: Storage, tenant_id: str = MAIN_TENANT, clock: Clock | None = None) -> None:
        self._storage = storage
        self._tenant_id = tenant_id
        self._clock = clock or SystemClock()

    def _versions(self, namespace: str) -> Versions:
        return Versions(self._storage, self._tenant_id, uris.key_versions(namespace))

    async def get(self, namespace: str, key: str) -> Any:
        """Return a value; raise NotFound, or KeyExpired (and delete it) when its time is over."""
        check_key(key)
        path = uris.key_value(namespace, key)
        try:
            attributes = await self._storage.attributes(self._tenant_id, path)
            if self._is_over(attributes):
                await self._versions(namespace).delete(key, path)
                raise KeyExpired("The requested value has expired")
            content = await self._storage.read(self._tenant_id, path, limit=VALUE_SIZE_MAX)
        except KeyExpired:
            raise
        except NotFound as error:
            raise NotFound(f"No value found for key '{key}' in namespace '{namespace}'") from error
        return _read(content)

    async def find(self, namespace: str, key: str) -> Any:
        """Return a value of the namespace or of the nearest one above it; raise as `get` does."""
        for name in ancestry(namespace):
            try:
                return await self.get(name, key)
            except KeyExpired:
                raise
            except NotFound:
                continue
        raise NotFound(f"No value found for key '{key}' in namespace '{namespace}'")

    async def put(
        self,
        namespace: str,
        key: str,
        value: Any,
        *,
        overwrite: bool = True,
        ttl: timedelta | None = None,
        expires: datetime | None = None,
        description: str | None = None,
    ) -> None:
        """Set a value; raise KeyExists when there is one and `overwrite` is false."""
        check_key(key)
        before = await self.entry(namespace, key)
        if before is not None and not overwrite:
            raise KeyExists(f"Cannot set value for key '{key}'. Key already exists and `overwrite` is set to `false`.")
        now = self._clock.now()
        if expires is None and ttl is not None:
            expires = later(now, ttl)
        metadata = {"creationDate": (before.creation_date if before else now).isoformat()}
        if expires is not None:
            metadata["expirationDate"] = expires.astimezone(UTC).isoformat()
        if description is not None:
            metadata["description"] = description
        content = ion.dumps(value).encode()
        if len(content) > VALUE_SIZE_MAX:
            raise Refused(
                f"The value for key '{key}' is larger than {VALUE_SIZE_MAX} bytes; store it as a file and keep its URI."
            )
        await self._versions(namespace).put(key, uris.key_value(namespace, key), content, metadata)

    async def delete(self, namespace: str, key: str) -> bool:
        """Delete a key, and keep its value as a version; False when there was none."""
        check_key(key)
        return await self._versions(namespace).delete(key, uris.key_value(namespace, key))

    async def purge(self, namespace: str, key: str) -> bool:
        """Delete a key for good, with all its versions; False when there was none."""
        check_key(key)
        versions = await self._versions(namespace).forget(key)
        return await self._storage.delete(self._tenant_id, uris.key_value(namespace, key)) or versions

    async def versions(self, namespace: str, key: str) -> list[KeyValueEntry]:
        """Return what is known of all versions of a key that are left, the oldest first."""
        check_key(key)
        found = [_entry(namespace, each, key) for each in await self._versions(namespace).earlier(key)]
        try:
            present = await self._storage.attributes(self._tenant_id, uris.key_value(namespace, key))
        except NotFound:
            return found
        # A writer that died has left the present version among the earlier ones, too.
        entry = _entry(namespace, present)
        return [*(each for each in found if each.version < entry.version), entry]

    async def names(self, namespace: str) -> list[str]:
        """Return every key that has a value, an expired one or an earlier version, in order."""
        entries = await self.entries(namespace, expired=True)
        return sorted({*(entry.key for entry in entries), *await self._versions(namespace).names()})

    async def purge_version(self, namespace: str, key: str, version: int) -> bool:
        """Delete an earlier version of a key; False when there was none."""
        check_key(key)
        return await self._versions(namespace).forget(key, version)

    async def exists(self, namespace: str, key: str) -> bool:
        """Tell whether the key has a value now."""
        check_key(key)
        return await self.entry(namespace, key) is not None

    async def keys(self, namespace: str, prefix: str = "") -> list[str]:
        """Return the keys that begin with `prefix`, in order, without expired ones."""
        return [entry.key for entry in await self.entries(namespace) if entry.key.startswith(prefix)]

    async def entries(self, namespace: str, *, expired: bool = False) -> list[KeyValueEntry]:
        """Return what is known of all keys of a namespace, in order; `expired` ones only when asked for."""
        try:
            found = await self._storage.children(self._tenant_id, uris.key_values(namespace))
        except NotFound:
            return []
        return [
            _entry(namespace, attributes)
            for attributes in found
            if attributes.file_name.endswith(_SUFFIX) and (expired or not self._is_over(attributes))
        ]

    async def entry(self, namespace: str, key: str) -> KeyValueEntry | None:
        """Return what is known of a key; None when it has no value now."""
        try:
            attributes = await self._storage.attributes(self._tenant_id, uris.key_value(namespace, key))
        except NotFound:
            return None
        return None if self._is_over(attributes) else _entry(namespace, attributes)

    def _is_over(self, attributes: FileAttributes) -> bool:
        until = instant_of(attributes, "expirationDate")
        return until is not None and until < self._clock.now()


def _entry(namespace: str, attributes: FileAttributes, key: str | None = None) -> KeyValueEntry:
    return KeyValueEntry(
        namespace=namespace,
        key=attributes.file_name.removesuffix(_SUFFIX) if key is None else key,
        version=version_of(attributes),
        description=(attributes.metadata or {}).get("description"),
        creation_date=instant_of(attributes, "creationDate") or attributes.creation_time,
        update_date=updated_at(attributes),
        expiration_date=instant_of(attributes, "expirationDate"),
    )


def _read(content: bytes) -> Any:
    values = ion.loads(content)
    value = values[0] if values else None
    if isinstance(value, str) and _DURATION.fullmatch(value):
        return parse_duration(value)
    return value
