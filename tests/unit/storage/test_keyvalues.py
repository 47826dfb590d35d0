"""Key-value pairs in internal storage: types, expiry, overwriting."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tiercel.errors import NotFound, Refused
from tiercel.storage.keyvalues import KeyExists, KeyExpired, StorageKeyValues
from tiercel.storage.local import LocalStorage
from tiercel.storage.versions import VERSIONS_MAX
from tiercel.testing.fake_clock import FakeClock

NAMESPACE = "company.team"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def values(tmp_path: Path, clock: FakeClock) -> StorageKeyValues:
    return StorageKeyValues(LocalStorage(tmp_path), "main", clock)


@pytest.mark.parametrize(
    "value",
    [
        "text",
        1,
        1.5,
        True,
        None,
        [1, "a", {"b": None}],
        {"nested": {"when": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)}},
        date(2026, 1, 2),
        timedelta(days=1, seconds=5),
    ],
)
async def test_a_value_keeps_its_type(values: StorageKeyValues, value: Any) -> None:
    """What is set is what is got, null included."""
    await values.put(NAMESPACE, "key", value)

    assert await values.get(NAMESPACE, "key") == value


async def test_the_file_is_where_other_tools_look_for_it(tmp_path: Path, values: StorageKeyValues) -> None:
    """A value is Ion text in the namespace's folder."""
    await values.put(NAMESPACE, "my-key", "some-value")

    assert '"some-value"' == (tmp_path / "main/company/team/_kv/my-key.ion").read_text()


async def test_an_expired_value_is_gone(values: StorageKeyValues, clock: FakeClock) -> None:
    """After its time a key is not listed; who reads it is told, and it is deleted."""
    await values.put(NAMESPACE, "short", 1, ttl=timedelta(minutes=5))
    await values.put(NAMESPACE, "long", 2)
    clock.advance(301)

    assert ["long"] == await values.keys(NAMESPACE)
    assert await values.entry(NAMESPACE, "short") is None
    assert ["long", "short"] == [entry.key for entry in await values.entries(NAMESPACE, expired=True)]
    with pytest.raises(KeyExpired, match="The requested value has expired"):
        await values.get(NAMESPACE, "short")
    with pytest.raises(NotFound, match="No value found for key 'short'"):
        await values.get(NAMESPACE, "short")


async def test_an_existing_key_is_overwritten_only_when_that_is_allowed(
    values: StorageKeyValues, clock: FakeClock
) -> None:
    """Overwriting keeps the date of the first value; an expired one is not in the way."""
    await values.put(NAMESPACE, "key", 1, ttl=timedelta(seconds=10), description="why")
    made = clock.now()
    clock.advance(5)

    with pytest.raises(KeyExists, match="Key already exists and `overwrite` is set to `false`"):
        await values.put(NAMESPACE, "key", 2, overwrite=False)
    await values.put(NAMESPACE, "key", 3, ttl=timedelta(seconds=10))
    entry = await values.entry(NAMESPACE, "key")
    assert entry is not None
    assert (entry.creation_date, entry.expiration_date) == (made, clock.now() + timedelta(seconds=10))
    clock.advance(11)
    await values.put(NAMESPACE, "key", 4, overwrite=False)
    assert 4 == await values.get(NAMESPACE, "key")


@pytest.mark.parametrize("key", ["a/b", "", "-a", "../x", "a b"])
async def test_a_key_that_could_be_a_path_is_refused(values: StorageKeyValues, key: str) -> None:
    """Keys are plain names."""
    with pytest.raises(Refused, match="Key must start with an alphanumeric character"):
        await values.put(NAMESPACE, key, 1)
    with pytest.raises(Refused):
        await values.get(NAMESPACE, key)


async def test_the_nearest_namespace_above_answers(values: StorageKeyValues) -> None:
    """Inherited values come from the nearest namespace that has one."""
    await values.put("company", "key", "far")

    assert "far" == await values.find(NAMESPACE, "key")
    await values.put(NAMESPACE, "key", "near")
    assert "near" == await values.find(NAMESPACE, "key")


async def test_earlier_values_stay_as_versions(values: StorageKeyValues) -> None:
    """Every change and every deletion leaves one; a new value counts on."""
    await values.put(NAMESPACE, "key", "one", description="first")
    await values.put(NAMESPACE, "key", "two", description="second")
    await values.delete(NAMESPACE, "key")
    await values.put(NAMESPACE, "key", "three")

    versions = await values.versions(NAMESPACE, "key")

    assert [(1, "first"), (2, "second"), (3, None)] == [(each.version, each.description) for each in versions]
    assert await values.purge_version(NAMESPACE, "key", 1)
    assert [2, 3] == [each.version for each in await values.versions(NAMESPACE, "key")]
    assert "three" == await values.get(NAMESPACE, "key")


async def test_a_purged_key_leaves_nothing(tmp_path: Path, values: StorageKeyValues) -> None:
    """Neither its value nor its versions."""
    await values.put(NAMESPACE, "key", "one")
    await values.put(NAMESPACE, "key", "two")

    assert await values.purge(NAMESPACE, "key")

    assert not await values.purge(NAMESPACE, "key")
    assert [] == await values.names(NAMESPACE)
    assert [] == await LocalStorage(tmp_path).by_prefix("main", "/")


async def test_the_versions_of_a_key_are_bounded(values: StorageKeyValues) -> None:
    """The oldest one goes with the next change."""
    for number in range(VERSIONS_MAX + 2):
        await values.put(NAMESPACE, "key", number)

    versions = [each.version for each in await values.versions(NAMESPACE, "key")]

    assert list(range(3, VERSIONS_MAX + 3)) == versions
