"""Steps about the states of triggers, through the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.conformance.matchers import match
from tests.conformance.problems import check_status
from tests.conformance.result import LeftOut, Mismatch
from tests.conformance.waiting import eventually
from tests.conformance.world import World, verb

_NAMES = frozenset({"flow", "namespace", "flowId", "trigger", "triggerId", "id", "exists", "timeout"})
# The names of 0.21 and those of 2.0 for the same thing.
_NEWER = {"date": "evaluatedAt", "nextExecutionDate": "nextEvaluationDate", "updatedDate": "updatedAt"}


def _place(body: Mapping[str, Any]) -> tuple[str, str, str]:
    namespace, _, flow_id = str(body.get("flow", "")).partition("/")
    name = body.get("trigger") or body.get("triggerId") or body.get("id")
    return body.get("namespace") or namespace, body.get("flowId") or flow_id, str(name)


def _claims(body: Mapping[str, Any]) -> dict[str, Any]:
    return {_NEWER.get(name, name): value for name, value in body.items() if name not in _NAMES}


async def _state(world: World, place: tuple[str, str, str]) -> dict[str, Any] | None:
    namespace, flow_id, trigger_id = place
    response = await world.engine.http.get(f"/api/v1/main/triggers/{namespace}/{flow_id}")
    check_status(response, "ok")
    found: list[dict[str, Any]] = response.json()["results"]
    return next((state for state in found if state["triggerId"] == trigger_id), None)


@verb("set_trigger")
async def set_trigger(world: World, body: dict[str, Any]) -> None:
    """Disable or enable a trigger; its scheduler owns everything else of its state."""
    claims = _claims(body)
    if set(claims) - {"disabled"}:
        raise LeftOut(
            "The state of a trigger is its scheduler's own; what is written into it is tried in schedule.yaml."
        )
    place = _place(body)
    await eventually(world.engine, lambda: _exists(world, place))
    namespace, flow_id, trigger_id = place
    data = {
        "triggers": [{"namespace": namespace, "flowId": flow_id, "triggerId": trigger_id}],
        "disabled": claims["disabled"],
    }
    response = await world.engine.http.post("/api/v1/main/triggers/set-disabled/by-triggers", json=data)
    check_status(response, "ok")
    await eventually(world.engine, lambda: _holds(world, place, claims))


async def _exists(world: World, place: tuple[str, str, str]) -> None:
    if await _state(world, place) is None:
        raise Mismatch(f"The trigger {'/'.join(place)} has no state.")


async def _holds(world: World, place: tuple[str, str, str], claims: Mapping[str, Any]) -> None:
    state = await _state(world, place)
    if state is None:
        raise Mismatch(f"The trigger {'/'.join(place)} has no state.")
    for name, wanted in claims.items():
        await match(state.get(name), wanted, world, f"{name} of the trigger")


@verb("expect_trigger")
async def expect_trigger(world: World, body: dict[str, Any]) -> None:
    """Wait until a trigger's state is as the step says, or until its time is over."""
    place = _place(body)
    if body.get("exists") is False:

        async def gone() -> None:
            if await _state(world, place) is not None:
                raise Mismatch(f"The trigger {'/'.join(place)} has a state.")

        await eventually(world.engine, gone)
        return
    await eventually(world.engine, lambda: _holds(world, place, _claims(body)))
