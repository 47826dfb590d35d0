"""What leases promise on every backend."""

from __future__ import annotations

import asyncio

import pytest

from tests.contract.backends import Backend
from tests.contract.samples import SERVICE, changes, lease_for, leases_of
from tests.patience import FOR_EVER_S, PATIENCE_S
from tiercel.messages.topics import partition_of
from tiercel.queue.base import Lease
from tiercel.statestore.base import JANITOR, LeaseLost

ALL = list(range(16))
TTL = 100.0
"""Nothing expires but what a test lets pass."""


async def take(backend: Backend, instance: str, service: str = SERVICE, level: int = 1) -> list[Lease]:
    await backend.leases.announce(service, instance, level=level)
    return await backend.leases.take(service, instance, level=level, ttl_s=TTL)


def parts(leases: list[Lease]) -> list[int]:
    return [lease.partition for lease in leases]


async def test_the_only_instance_owns_everything(backend: Backend) -> None:
    """Each partition has a token of its own."""
    leases = await take(backend, "a")

    assert ALL == parts(leases)
    assert 16 == len({lease.token for lease in leases})


async def test_renewing_keeps_the_tokens(backend: Backend) -> None:
    """What is owned is only renewed, and stays owned beyond its first time."""
    first = await take(backend, "a")
    for _ in range(3):
        await backend.pass_time(TTL * 0.8)
        await take(backend, "a")

    assert first == await take(backend, "a")


async def test_what_a_dead_instance_owned_is_free_at_once(backend: Backend) -> None:
    """It counts a crash, its fair share is nobody's, and what it was writing is fenced off."""
    old = await take(backend, "a")
    await backend.leases.expire(SERVICE, "a")

    new = await take(backend, "b")

    assert ALL == parts(new)
    assert {1} == {lease.crashes for lease in new}
    with pytest.raises(LeaseLost):
        await _save(backend, old)


async def _save(backend: Backend, leases: list[Lease]) -> None:
    async with backend.state.transaction([lease_for(leases, "e")]) as unit:
        unit.save(changes("e", None))


async def test_the_janitor_lease_is_one(backend: Backend) -> None:
    """Only one instance at a time cleans up."""
    first = await take(backend, "a", JANITOR)
    second = await take(backend, "b", JANITOR)

    assert ([0], []) == (parts(first), parts(second))


async def test_services_do_not_share_leases(backend: Backend) -> None:
    """A partition is owned per service."""
    await take(backend, "a")

    assert ALL == parts(await take(backend, "a", "scheduler"))


async def test_instances_settle_at_fair_shares(backend: Backend) -> None:
    """Surplus is handed over, nothing is owned twice, everything is owned."""
    owned: dict[str, list[int]] = {}
    for _ in range(4):
        for instance in ("a", "b", "c"):
            await take(backend, instance)
            surplus = await backend.leases.surplus(SERVICE, instance)
            await backend.leases.release(SERVICE, instance, surplus)
            owned[instance] = parts(await take(backend, instance))

    assert [4, 6, 6] == sorted(len(one) for one in owned.values())
    assert ALL == sorted(part for one in owned.values() for part in one)


async def test_an_expired_lease_is_taken_with_a_new_token(backend: Backend) -> None:
    """The former owner cannot write any more, and the crash is counted."""
    old = await take(backend, "a")
    await backend.pass_time(TTL + 1)

    new = await take(backend, "b")

    assert ALL == parts(new)
    assert not {lease.token for lease in old} & {lease.token for lease in new}
    assert {1} == {lease.crashes for lease in new}
    with pytest.raises(LeaseLost):
        async with backend.state.transaction(old) as unit:
            unit.save(changes("x", None))


async def test_a_living_owner_is_not_robbed(backend: Backend) -> None:
    """Others take only what is free or expired."""
    await take(backend, "a")
    await backend.pass_time(TTL * 0.8)
    await take(backend, "a")
    await backend.pass_time(TTL * 0.8)

    assert [] == await take(backend, "b")


async def test_an_expired_lease_that_nobody_took_is_renewed(backend: Backend) -> None:
    """Nobody else has written in between: its token still holds."""
    old = await take(backend, "a")
    await backend.pass_time(TTL * 3)

    assert old == await take(backend, "a")


async def test_crashes_add_up_until_a_clean_release(backend: Backend) -> None:
    """The third owner knows that two have died."""
    for instance in ("a", "b", "c"):
        leases = await take(backend, instance)
        await backend.pass_time(TTL + 1)
    assert {2} == {lease.crashes for lease in leases}

    await backend.leases.release(SERVICE, "c", ALL)

    assert {0} == {lease.crashes for lease in await take(backend, "d")}


async def test_a_minute_of_ownership_forgives_crashes(backend: Backend) -> None:
    """What has been worked on for so long kills nobody."""
    await take(backend, "a")
    await backend.pass_time(TTL + 1)
    assert {1} == {lease.crashes for lease in await take(backend, "b")}
    for _ in range(8):
        await backend.pass_time(8)
        await take(backend, "b")

    assert {0} == {lease.crashes for lease in await take(backend, "b")}


async def test_the_next_owner_learns_of_the_suspect(backend: Backend) -> None:
    """The message that was under way is known to who takes the partition after a crash, not after a release."""
    mine = lease_for(await take(backend, "a"), "x")
    await backend.leases.suspect(mine, 77)
    await backend.pass_time(TTL + 1)

    heir = await take(backend, "b")

    assert {mine.partition: 77} == {one.partition: one.suspect for one in heir if one.suspect is not None}
    await backend.leases.suspect(mine, 78)
    assert 77 == lease_for(await take(backend, "b"), "x").suspect
    await backend.leases.suspect(lease_for(heir, "x"), None)
    assert None is lease_for(await take(backend, "b"), "x").suspect


async def test_a_draining_instance_takes_nothing_and_hands_over_all(backend: Backend) -> None:
    """Its share is zero, and the others' shares do not count it."""
    await take(backend, "a")
    await backend.leases.announce(SERVICE, "a", level=1, draining=True)
    await take(backend, "b")

    assert ALL == await backend.leases.surplus(SERVICE, "a")
    await backend.leases.release(SERVICE, "a", ALL)
    assert [] == await backend.leases.take(SERVICE, "a", level=1, ttl_s=TTL)
    assert ALL == parts(await take(backend, "b"))


async def test_leaving_frees_everything_at_once(backend: Backend) -> None:
    """The next one does not wait for the time to run out, and no crash is counted."""
    await take(backend, "a")
    await backend.leases.leave(SERVICE, "a")

    leases = await take(backend, "b")

    assert (ALL, {0}) == (parts(leases), {lease.crashes for lease in leases})


async def test_releasing_what_another_owns_does_nothing(backend: Backend) -> None:
    """A late release cannot harm the new owner."""
    await take(backend, "a")
    await backend.pass_time(TTL + 1)
    taken = await take(backend, "b")

    await backend.leases.release(SERVICE, "a", ALL)

    assert taken == await take(backend, "b")


async def test_who_waits_for_leases_is_woken_by_a_release(backend: Backend) -> None:
    """In other processes too."""
    other = await backend.another()
    await leases_of(backend.leases)
    for _ in range(2):
        await other.leases.changed(SERVICE, 0.01)
    waiting = asyncio.create_task(other.leases.changed(SERVICE, FOR_EVER_S))
    await asyncio.sleep(0)  # the task begins to wait

    await backend.leases.release(SERVICE, "i1", [partition_of("a")])

    async with asyncio.timeout(PATIENCE_S):
        await waiting


async def test_concurrent_instances_never_own_the_same(backend: Backend) -> None:
    """Tokens are unique, whoever takes at the same time."""
    others = [backend.leases, (await backend.another()).leases]

    async def one(number: int) -> list[Lease]:
        leases = others[number % 2]
        await leases.announce(SERVICE, f"i{number}", level=1)
        return await leases.take(SERVICE, f"i{number}", level=1, ttl_s=TTL)

    found = await asyncio.gather(*(one(number) for number in range(5)))

    owned = [lease.partition for leases in found for lease in leases]
    assert len(owned) == len(set(owned))
