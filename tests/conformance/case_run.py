"""One engine case: its flows deployed, its steps run in order, its outcome."""

from __future__ import annotations

from tests.conformance import (  # noqa: F401 the steps register their verbs when they are imported
    steps_actions,
    steps_await,
    steps_execute,
    steps_expect,
    steps_http,
    steps_store,
    steps_trigger,
)
from tests.conformance.corpus import Case, Folder
from tests.conformance.engine import Engine
from tests.conformance.result import CaseResult, LeftOut, passed, verdict
from tests.conformance.steps_store import deploy
from tests.conformance.world import VERBS, World

OWN_ANSWER = frozenset({"http"})
"""Verbs whose checks may name the alias that their own answer gets."""


async def run_case(case: Case, folder: Folder, engine: Engine) -> CaseResult:
    """Run a case; whatever it raises is its outcome."""
    place = "deploy"
    try:
        world = World(case, folder, engine)
        for flow in case.body.get("flows", []):
            place = f"deploy {flow}"
            text = folder.text(flow)
            await deploy(world, engine.localize(text) if "network" in case.body.get("needs", ()) else text)
        for number, step in enumerate(case.body.get("steps", []), start=1):
            ((name, body),) = step.items()
            place = f"step {number} ({name})"
            await _run_step(world, name, body)
    except Exception as error:  # whatever a case does to the runner is that case's failure
        return verdict(case.id, case.file, error, case.features, place)
    return passed(case.id, case.file, case.features)


async def _run_step(world: World, name: str, body: object) -> None:
    verb = VERBS.get(name)
    if verb is None:
        raise LeftOut(f"the runner does not know the step '{name}'")
    if name in OWN_ANSWER and isinstance(body, dict):
        later = {key: value for key, value in body.items() if key in steps_http.ANSWER}
        now = {key: value for key, value in body.items() if key not in steps_http.ANSWER}
        await verb(world, await world.filled(now) | later)
    else:
        await verb(world, await world.filled(body))
