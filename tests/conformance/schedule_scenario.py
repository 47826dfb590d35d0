"""
Scenarios of the scheduler, on the service itself: a clock that is moved, memory for a backend, a scripted worker.

The scripted worker answers evaluations as `test_plugins.yaml` says that the corpora's trigger types behave. A scenario
of 0.21 ends executions itself and waits; one of 2.0 moves the clock step by step.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.conformance.interpolation import Names
from tests.conformance.result import LeftOut, Mismatch
from tests.conformance.schedule_flow import expect
from tests.conformance.schedule_state import FIELDS, expect_value, state_fields, view_of
from tests.conformance.schedule_worker import ScriptedWorker
from tests.conformance.values import instant
from tests.integration.scheduling import World, begin, settle
from tiercel.errors import InvalidFlow
from tiercel.messages.execution_event import CreateExecution
from tiercel.messages.trigger_event import TriggerEvaluated
from tiercel.model.execution import TriggerInfo
from tiercel.model.state import State
from tiercel.model.trigger_state import TriggerState
from tiercel.plugins.core.trigger.schedule import RecoverMissedSchedules
from tiercel.scheduler.service import SchedulerService

START: Final = "2024-07-15T10:20:30Z"
TURNS_MAX: Final = 240
"""Seconds of the clock that a scenario may take; the Java tests wait for less."""


async def run_scenario(flow: Mapping[str, Any], case: Mapping[str, Any], storage: Path) -> None:
    """Run one scenario; raise Mismatch when something is not as expected."""
    names = Names(instant(case.get("clock") or START))
    scenario = Scenario(flow, names.fill(_but_expected(case)), case.get("expect") or {}, names, storage)
    await scenario.deploy(scenario.case["triggers"])
    await scenario.store_states()
    if "clock" in case:
        await scenario.run_steps()
    else:
        await scenario.run_until_expected()


def _but_expected(case: Mapping[str, Any]) -> dict[str, Any]:
    """Leave texts for later that name what only the scenario makes."""
    return {key: value for key, value in case.items() if key != "expect"}


class Scenario:
    """One scenario under way."""

    def __init__(
        self,
        flow: Mapping[str, Any],
        case: Mapping[str, Any],
        expected: Mapping[str, Any],
        names: Names,
        storage: Path,
    ) -> None:
        self.flow = {key: value for key, value in flow.items() if key != "revision"}
        self.case = case
        self.names = names
        self.namespace, self.flow_id = str(flow["namespace"]), str(flow.get("id", "test"))
        self.world = World(storage, names.now.astimezone(UTC), namespace=self.namespace, flow_id=self.flow_id)
        self.worker = ScriptedWorker(self.world)
        self.created: list[CreateExecution] = []
        self.states: list[dict[str, TriggerState | None]] = []
        self.scheduler: SchedulerService | None = None
        self.ids = [each["id"] for each in case["triggers"]]
        first = next(iter((case.get("trigger_state") or {}).values()), {}) or {}
        self.names.aliases["trigger_state"] = first
        self.expected: Mapping[str, Any] = expected

    async def deploy(self, triggers: list[dict[str, Any]]) -> None:
        """Store the flow with these triggers."""
        more = {key: value for key, value in self.flow.items() if key not in ("id", "namespace", "tasks")}
        if "plugin_defaults" in self.case:
            more["pluginDefaults"] = self.worker.named(self.case["plugin_defaults"])
        triggers = self.worker.named(triggers)
        try:
            await self.world.deploy(triggers, self.flow_id, **more)
        except InvalidFlow:
            # Such a flow can only be there since an older version let it pass: its text is put beside a valid one.
            valid = [{**each, "timezone": "UTC"} for each in triggers]
            await self.world.deploy(valid, self.flow_id, **more)
            flow = await self.world.definitions.flow("main", self.namespace, self.flow_id)
            assert flow is not None
            source = flow.source.replace("timezone: UTC", f"timezone: {triggers[0]['timezone']}")
            await self.world.save(msgspec.structs.replace(flow, source=source))

    async def store_states(self) -> None:
        """Write the states that an earlier scheduler left."""
        for trigger_id, given in (self.case.get("trigger_state") or {}).items():
            await self.world.store(trigger_id, **state_fields(given, self.names.now))

    async def begin(self) -> SchedulerService:
        """Start the scheduler, once."""
        if self.scheduler is None:
            self.scheduler = self.world.scheduler(
                timezone=self.case.get("system_zone", "UTC"), recover_missed_schedules=RecoverMissedSchedules.ALL
            )
            await begin(self.scheduler)
        return self.scheduler

    async def turn(self) -> list[CreateExecution]:
        """Let everybody work at this time; return the executions that were made."""
        scheduler = await self.begin()
        await settle(scheduler)
        made: list[CreateExecution] = []
        for _ in range(20):
            await self.worker.work()
            await settle(scheduler)
            new = await self.world.created()
            made += new
            self.states += [{each: await self.world.state(each) for each in self.ids} for _ in new]
            if not new and self.worker.idle:
                break
            end = (self.case.get("each_created_execution") or {}).get("set_state")
            for command in new if end else ():
                await self.world.end(command, State(end))
        self.created += made
        return made

    # 0.21: wait until what is expected has happened.

    async def run_until_expected(self) -> None:
        await self.begin()
        await self._when_ready()
        for _ in range(TURNS_MAX):
            await self.turn()
            if await self._done():
                break
            self.world.fake.advance(1.0)
        await self._check()

    async def _when_ready(self) -> None:
        wanted = self._filled("when_ready")
        if wanted:
            await self._expect_states(
                wanted["trigger_state"], {each: await self.world.state(each) for each in self.ids}
            )

    def _filled(self, name: str) -> Any:
        return self.names.fill(self.expected.get(name))

    async def _done(self) -> bool:
        wanted = self.expected
        if "steps" in wanted:
            return True
        if "after" in wanted:
            return self.world.clock.now() >= self.names.now + timedelta(seconds=3)
        if len(self.created) < max(wanted.get("executions_created", 0), wanted.get("executions_created_min", 0)):
            return False
        eventually = self._filled("eventually")
        if eventually:
            try:
                await self._expect_states(eventually["trigger_state"], await self._states())
            except Mismatch:
                return False
        return True

    async def _states(self) -> dict[str, TriggerState | None]:
        return {each: await self.world.state(each) for each in self.ids}

    async def _check(self) -> None:
        wanted = self.expected
        if "executions_created" in wanted:
            least = wanted["executions_created"]
            expect("at least so many executions", True, len(self.created) >= least)
        if "executions_created_min" in wanted and len(self.created) < wanted["executions_created_min"]:
            raise Mismatch(f"{len(self.created)} executions, expected {wanted['executions_created_min']} or more")
        if "trigger_evaluations_min" in wanted:
            expect("evaluations", True, self.worker.evaluations >= wanted["trigger_evaluations_min"])
        for command in self.created if "each_execution" in wanted else ():
            _expect_execution(command, wanted["each_execution"])
        if "nth_execution" in wanted:
            _expect_execution(self.created[wanted["nth_execution"]["n"] - 1], wanted["nth_execution"])
        if "after_first_execution" in wanted:
            await self._expect_states(self._filled("after_first_execution")["trigger_state"], self.states[0])
        if "trigger_state" in wanted:
            await self._expect_states(self._filled("trigger_state"), await self._states())
        if "eventually" in wanted:
            await self._expect_states(self._filled("eventually")["trigger_state"], await self._states())
        if "steps" in wanted:
            await self._waited_steps(wanted["steps"])

    async def _waited_steps(self, steps: list[dict[str, Any]]) -> None:
        for raw in steps:
            verb = next(iter(raw))
            body = self.names.fill(raw[verb])
            match verb:
                case "await_trigger" | "assert_trigger":
                    await self.turn()
                    state = await self.world.state(body["id"])
                    if state is None or (body.get("has") and getattr(state, FIELDS[body["has"]]) is None):
                        raise Mismatch(f"The trigger has no {body.get('has')}.")
                    claims = {key: value for key, value in body.items() if key in FIELDS}
                    await self._expect_states({body["id"]: claims}, {body["id"]: state})
                    if "as" in body:
                        self.names.aliases[body["as"]] = view_of(state)
                case "set_trigger":
                    given = body["backfill"]
                    await self.world.command("backfill-create", body["id"], **given)
                    assert self.scheduler is not None
                    await self.scheduler.read_events()
                case "await_evaluation":
                    await self._until(lambda nth=body["nth"]: self.worker.evaluations >= nth)
                case "update_flow":
                    await self.deploy(body["triggers"])
                    assert self.scheduler is not None
                    await self.scheduler.follow("main", self.namespace, self.flow_id)
                case "expect":
                    await self._expect_worker(body)
                case _:
                    raise LeftOut(f"the runner does not know the step '{verb}' of a scenario")

    async def _until(self, holds: Any) -> None:
        for _ in range(TURNS_MAX):
            await self.turn()
            if holds():
                return
            self.world.fake.advance(1.0)
        raise Mismatch("What is waited for does not happen.")

    async def _expect_worker(self, body: Mapping[str, Any]) -> None:
        if "killed_trigger" in body:
            await self.turn()
            expect("the trigger is stopped", True, body["killed_trigger"] in self.worker.stopped)
        if "executions_created_min" in body:
            await self._until(lambda: len(self.created) >= body["executions_created_min"])
            _expect_execution(self.created[-1], body.get("execution_with") or {})
        if "log" in body:
            expect("the log", True, any(body["log"]["contains"] in line for line in self.worker.logs))

    # 2.0: the clock stands still but for the steps.

    async def run_steps(self) -> None:
        made: list[CreateExecution] = []
        for raw in self.expected.get("steps", []):
            verb = next(iter(raw))
            body = raw[verb] if verb == "evaluated" else self.names.fill(raw[verb])
            match verb:
                case "start":
                    if isinstance(body, str):
                        self.world.fake.set(instant(body).astimezone(UTC))
                    await self.begin()
                case "tick":
                    self.world.fake.set(instant(body).astimezone(UTC))
                    made = await self.turn()
                case "executions":
                    count = body["count"] if isinstance(body, Mapping) else body
                    expect("executions of this tick", count, len(made))
                    for command in made if isinstance(body, Mapping) else ():
                        _expect_execution(command, {"state": body["state"]} if "state" in body else {})
                case "trigger_state":
                    await self._expect_states(body, await self._states())
                case _:
                    await self._command(verb, body)

    async def _command(self, verb: str, body: Any) -> None:
        scheduler = await self.begin()
        match verb:
            case "complete_execution":
                await self.world.end(self.created[-1], State(body))
            case "execution_terminated":
                command = CreateExecution(
                    execution_id=body["execution"], at=self.world.clock.now(), namespace=self.namespace,
                    flow_id=self.flow_id, flow_revision=1, trigger=_info(self.ids[0]),
                )  # fmt: skip
                await self.world.end(command, State(body["state"]))
            case "set_disabled":
                await self.world.command("disable" if body else "enable")
            case "reset":
                await self.world.command("reset")
            case "create_backfill":
                await self.world.command("backfill-create", **body)
            case "pause_backfill":
                await self.world.command("backfill-pause" if body else "backfill-continue")
            case "delete_backfill":
                await self.world.command("backfill-delete")
            case "delete_flow":
                await self.world.definitions.delete("main", self.namespace, self.flow_id)
                await scheduler.follow("main", self.namespace, self.flow_id)
            case "set_trigger":
                await self._set_triggers(body)
                return
            case "evaluated":
                variables: dict[str, Any] | None = {} if body else None
                uid = f"main/{self.namespace}/{self.flow_id}/{self.ids[0]}"
                await self.world.send(TriggerEvaluated(trigger_uid=uid, at=self.world.clock.now(), variables=variables))
            case _:
                raise LeftOut(f"the runner does not know the step '{verb}' of a scenario")
        await scheduler.read_events()

    async def _set_triggers(self, body: Mapping[str, Any]) -> None:
        """Write states into the store; a scheduler that starts afterwards goes on from them."""
        scheduler, self.scheduler = await self.begin(), None
        await scheduler.drain()
        for trigger_id, given in ({body["id"]: body} if "id" in body else body).items():
            fields = {name: value for name, value in given.items() if name != "id"}
            await self.world.store(trigger_id, **state_fields(fields, self.world.clock.now()))

    async def _expect_states(self, wanted: Mapping[str, Any], found: Mapping[str, TriggerState | None]) -> None:
        for trigger_id, claims in wanted.items():
            state = found[trigger_id]
            if claims is None or state is None:
                expect(f"state of {trigger_id} is there", claims is not None, state is not None)
                continue
            view = view_of(state)
            for name, claim in claims.items():
                expect_value(f"{trigger_id}.{name}", view.get(name), claim)


def _info(trigger_id: str) -> TriggerInfo:
    return TriggerInfo(id=trigger_id, type="")


def _expect_execution(command: CreateExecution, wanted: Mapping[str, Any]) -> None:
    assert command.trigger is not None
    if "state" in wanted:
        expect("state", wanted["state"], "FAILED" if command.failed is not None else "CREATED")
    for name, value in wanted.get("inputs", {}).items():
        expect(f"input {name}", value, (command.inputs or {}).get(name))
    for name, value in wanted.get("trigger_variables", {}).items():
        found = command.trigger.variables.get(name)
        if name == "date":
            expect("trigger.date", instant(value), instant(str(found)))
        else:
            expect(f"trigger.{name}", value, found)
    for name, value in wanted.get("labels_contain", {}).items():
        expect(f"label {name}", value, dict(command.labels).get(name))
    if "flowRevision" in wanted:
        expect("a revision", True, command.flow_revision >= 1)
