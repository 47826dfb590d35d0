"""What every state store promises about scopes and triggers."""

from __future__ import annotations

import pytest

from tests.contract.backends import Backend
from tests.contract.samples import event, leases_of, minutes
from tiercel.messages.topics import partition_of
from tiercel.model.trigger_state import TriggerState
from tiercel.statestore.base import Scope, StaleState


async def test_scopes_are_guarded_by_their_version(backend: Backend) -> None:
    """A scope is an aggregate of its own, in the partition of its id."""
    leases = await leases_of(backend.leases)
    first = Scope(id="s", holders=("a",), waiting=("b", "c"), version=1)
    second = Scope(id="s", holders=("b",), waiting=("c",), body={"met": {"a": True}}, version=2)
    async with backend.state.transaction(leases) as unit:
        unit.save_scope(first, partition_of("s"), None)
    async with backend.state.transaction(leases) as unit:
        unit.save_scope(second, partition_of("s"), 1)

    for was in (None, 1):
        with pytest.raises(StaleState):
            async with backend.state.transaction(leases) as unit:
                unit.save_scope(first, partition_of("s"), was)

    assert {"s": second} == await backend.state.scopes(["s", "unknown"])


async def test_parked_events_are_kept_in_order_until_they_are_removed(backend: Backend) -> None:
    """In one transaction with what caused them; found by partition, read by execution, so many of each."""
    leases = await leases_of(backend.leases)
    async with backend.state.transaction(leases) as unit:
        for minute in range(3):
            unit.park("a", partition_of("a"), event("a", minute).message)
        unit.park("b", partition_of("b"), event("b", 7).message)

    async def refused() -> None:
        async with backend.state.transaction(leases) as unit:
            unit.park("c", partition_of("c"), event("c").message)
            unit.save_scope(Scope(id="s"), partition_of("s"), 5)

    with pytest.raises(StaleState):
        await refused()

    everywhere = sorted({partition_of("a"), partition_of("b"), partition_of("c")})
    first = await backend.state.parked_events(["a", "b", "c"], 2)
    assert {("a", partition_of("a")), ("b", partition_of("b"))} == set(await backend.state.parked(everywhere))
    assert [("a", 0), ("a", 1), ("b", 7)] == list(zip([d.key for d in first], minutes(first), strict=True))

    async with backend.state.transaction(leases) as unit:
        unit.unpark(first)

    assert [2] == minutes(await backend.state.parked_events(["a", "b"], 2))
    assert [("a", partition_of("a"))] == await backend.state.parked(everywhere)


async def test_scopes_are_listed_by_the_beginning_of_their_ids(backend: Backend) -> None:
    """In order, a part at a time; `_` and `%` mean themselves."""
    leases = await leases_of(backend.leases)
    scopes = [Scope(id=f"scope/main/{name}", reserved=place, version=1) for place, name in enumerate(("a", "b_", "c"))]
    async with backend.state.transaction(leases) as unit:
        for scope in (*scopes, Scope(id="scope/other/a", version=1), Scope(id="scope_main/a", version=1)):
            unit.save_scope(scope, partition_of(scope.id), None)

    assert scopes == await backend.state.scopes_under("scope/main/", count=10)
    assert scopes[:2] == await backend.state.scopes_under("scope/main/", count=2)
    assert scopes[2:] == await backend.state.scopes_under("scope/main/", after="scope/main/b_", count=2)
    assert [] == await backend.state.scopes_under("scope/main/b%", count=2)


def _trigger(uid: str, version: int, why: str | None = None) -> TriggerState:
    return TriggerState(uid=uid, namespace="n", flow_id="f", trigger_id="t", flow_revision=1, version=version, why=why)


async def test_triggers_are_saved_found_and_deleted(backend: Backend) -> None:
    """By partition, by uid, or all; guarded by their version."""
    leases = await leases_of(backend.leases, service="scheduler")
    async with backend.state.transaction(leases) as unit:
        for uid in ("main/n/f/a", "main/n/f/b", "main/n/f/c"):
            unit.save_trigger(_trigger(uid, 1), partition_of(uid), None)
    async with backend.state.transaction(leases) as unit:
        unit.save_trigger(_trigger("main/n/f/a", 2, "waits"), partition_of("main/n/f/a"), 1)
        unit.delete_trigger("main/n/f/c")

    with pytest.raises(StaleState):
        async with backend.state.transaction(leases) as unit:
            unit.save_trigger(_trigger("main/n/f/b", 5), partition_of("main/n/f/b"), 4)

    both = [_trigger("main/n/f/a", 2, "waits"), _trigger("main/n/f/b", 1)]
    assert both == await backend.state.triggers()
    assert both[1:] == await backend.state.triggers(uids=["main/n/f/b", "main/n/f/c"])
    assert both[0] in await backend.state.triggers([partition_of("main/n/f/a")])
    assert [] == await backend.state.triggers([partition_of("main/n/f/a")], ["main/n/f/b"])
