"""
One case of a flow test: an execution of its own with fixtures in the place of tasks, and the claims about its end.

Everything runs in this process. No scheduler is there, so no trigger of the flow fires by itself; a fixture says what
one would have said.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from tiercel.cli.assertion import Judgement, judge
from tiercel.cli.suite import Assertion, Case, Suite
from tiercel.errors import ExpressionError, NotFound, Refused, TiercelError
from tiercel.expression.context import build
from tiercel.expression.plain import plain
from tiercel.expression.printing import text_of
from tiercel.flowspec.inputs import flow_context
from tiercel.flowspec.places import placed_tasks
from tiercel.messages.execution_event import CreateExecution
from tiercel.model.execution import ExecutionKind, TaskFixture, TriggerInfo
from tiercel.model.flow import CheckBehavior, Flow
from tiercel.model.state import State
from tiercel.model.tenant import MAIN_TENANT
from tiercel.repository.base import Page
from tiercel.repository.filter import Field, Filter
from tiercel.storage import uris
from tiercel.webserver import creation, evaluation, inputs
from tiercel.webserver.context import ApiContext
from tiercel.webserver.follower import Version
from tiercel.webserver.reader import View

ERRORS_SHOWN_MAX: Final = 10
"""Lines of errors that are shown with a case that failed."""
LOGS_WAIT_S: Final = 2.0
"""How long the log lines of a failed execution may take to be written."""
LOGS_POLL_S: Final = 0.05
"""Between two looks for them."""
BAD_ENDS: Final = frozenset({State.FAILED, State.KILLED, State.CANCELLED})
RESTING: Final = frozenset({State.PAUSED, State.BREAKPOINT})
_NAMESPACE_FILE: Final = "nsfile://"


class CaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a case: SUCCESS, FAILED, ERROR (it could not be tried) or SKIPPED."""

    case: str
    result: str
    seconds: float = 0.0
    execution_id: str | None = None
    state: State | None = None
    reasons: tuple[str, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    errors: tuple[str, ...] = ()
    """Errors that the execution has logged."""


class CaseRun:
    """Runs the cases of one suite against its flow."""

    def __init__(self, api: ApiContext, flow: Flow, suite: Suite, timeout_s: float) -> None:
        self._api, self._flow, self._suite, self._timeout_s = api, flow, suite, timeout_s

    async def run(self, case: Case) -> CaseResult:
        """Run one case to its end and judge it."""
        if case.disabled or self._suite.disabled:
            return CaseResult(case=case.id, result="SKIPPED")
        began = time.perf_counter()
        execution_id, at = creation.new_id(self._api)
        try:
            event = await self._event(case, execution_id, at)
            await creation.send(self._api, event)
            await self._end(execution_id)
            view = await self._api.reader.view(MAIN_TENANT, execution_id)
            judgements = tuple([each for claim in case.assertions for each in await self._judged(claim, view)])
        except TiercelError as error:
            return CaseResult(
                case=case.id, result="ERROR", seconds=time.perf_counter() - began, reasons=tuple(str(error).split("\n"))
            )
        state = view.execution.state
        reasons = [*_state_reasons(case, state), *(each.reason for each in judgements if each.reason is not None)]
        return CaseResult(
            case=case.id,
            result="FAILED" if reasons else "SUCCESS",
            seconds=time.perf_counter() - began,
            execution_id=execution_id,
            state=state,
            reasons=tuple(reasons),
            judgements=judgements,
            errors=await self._errors(execution_id, state) if reasons else (),
        )

    async def _event(self, case: Case, execution_id: str, at: datetime) -> CreateExecution:
        """Return the event that creates the case's execution, fixtures rendered and inputs typed."""
        flow, given = self._flow, case.fixtures
        known = {task.id for task, _ in placed_tasks(flow)}
        unknown = [task.id for task in given.tasks if task.id not in known]
        if unknown:
            names = ", ".join(f"'{name}'" for name in unknown)
            raise Refused(f"There are fixtures of tasks that the flow '{flow.id}' does not have: {names}.")
        files = await self._stored(given.files, execution_id)
        trigger = given.trigger
        context: dict[str, Any] = {
            **flow_context(flow, {"id": execution_id}),
            **self._api.surroundings,
            "files": files,
        }
        variables = await self._rendered(trigger.variables, context) if trigger is not None else {}
        context["trigger"] = variables
        typed = None
        if flow.inputs:
            values = {name: _sent(value) for name, value in (await self._rendered(given.inputs, context)).items()}
            typed = await inputs.typed_values(self._api, flow, execution_id, flow.inputs, values)
        elif given.inputs:
            raise Refused(f"There are fixtures of inputs, but the flow '{flow.id}' has none.")
        context["inputs"] = typed or {}
        fixtures = [
            TaskFixture(
                id=task.id,
                value=task.value,
                state=task.state,
                outputs=await self._rendered(task.outputs, context),
                description=task.description,
            )
            for task in given.tasks
        ]
        event = creation.creation_event(flow, execution_id, at, creation.Wish(kind=ExecutionKind.TEST), typed, "test")
        failed, behavior = await inputs.checked(self._api, flow, execution_id, typed)
        reason = "; ".join(check.message for check in failed)
        if behavior is CheckBehavior.BLOCK_EXECUTION and failed:
            raise Refused(f"The flow's checks do not allow this execution: {reason}")
        return msgspec.structs.replace(
            event,
            fixtures=tuple(fixtures),
            failed=reason if behavior is CheckBehavior.FAIL_EXECUTION and failed else None,
            trigger=TriggerInfo(id=trigger.id, type=trigger.type, variables=variables) if trigger is not None else None,
        )

    async def _stored(self, files: Mapping[str, str], execution_id: str) -> dict[str, str]:
        """Put files into internal storage; return their addresses by name."""
        folder = f"{uris.execution(self._flow.namespace, self._flow.id, execution_id)}/fixtures"
        found = {}
        for name, content in files.items():
            if uris.is_uri(content.strip()):
                found[name] = content.strip()
            elif content.strip().startswith(_NAMESPACE_FILE):
                namespace, _, path = content.strip()[len(_NAMESPACE_FILE) :].partition("/")
                found[name] = uris.uri(uris.namespace_file(namespace or self._flow.namespace, path))
            else:
                path = f"{folder}/{name.strip('/')}"
                found[name] = await self._api.storage.put(MAIN_TENANT, path, content.encode())
        return found

    async def _rendered(self, value: Any, context: Mapping[str, Any]) -> Any:
        """Render plain data; a lone expression keeps the kind of its value."""
        if isinstance(value, str):
            return await self._api.expressions.rendered(
                MAIN_TENANT, self._flow.dialect, lambda renderer: plain(renderer.render_data(value, context))
            )
        if isinstance(value, Mapping):
            return {name: await self._rendered(each, context) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [await self._rendered(each, context) for each in value]
        return value

    async def _end(self, execution_id: str) -> None:
        def is_done(version: Version | None) -> bool:
            return version is not None and (version[1].is_terminated or version[1] in RESTING)

        if not await self._api.followers.until(execution_id, is_done, self._timeout_s):
            head = await self._api.reader.head(MAIN_TENANT, execution_id)
            raise Refused(
                f"The execution is still {head.state} after {self._timeout_s:g} seconds; give it more with --timeout."
            )

    async def _judged(self, claim: Assertion, view: View) -> list[Judgement]:
        """Return what becomes of each operator of an assertion."""
        run = None
        if claim.task_id is not None:
            run = next((each for each in reversed(view.runs) if each.task_id == claim.task_id), None)
            if run is None:
                raise NotFound(f"An assertion names the task '{claim.task_id}', which did not run.")
        context = build(await evaluation.facts(self._api, self._flow, view, run, self._flow.dialect))
        try:
            actual = await self._rendered(claim.value, context)
            judged = [judge(name, actual, await self._rendered(each, context)) for name, each in claim.operators()]
        except ExpressionError as error:
            said = f"{claim.value}: {error}"
            judged = [
                Judgement(operator=name, expected=each, actual=None, reason=said) for name, each in claim.operators()
            ]
        note = claim.error_message or claim.description
        if note is not None:
            judged = [
                msgspec.structs.replace(each, reason=f"{note}: {each.reason}") if each.reason is not None else each
                for each in judged
            ]
        return judged

    async def _errors(self, execution_id: str, state: State) -> tuple[str, ...]:
        """Return what the execution has logged as errors; one that failed is given a moment to be written."""
        filters = [Filter(field=Field.EXECUTION_ID, value=execution_id)]
        deadline = time.monotonic() + (LOGS_WAIT_S if state in BAD_ENDS else 0.0)
        while True:
            lines = await self._api.repository.logs(MAIN_TENANT, filters, Page(size=1000, total=False))
            errors = [f"{line.task_id or '-'} | {line.message}" for line in lines.results if line.level == "ERROR"]
            if errors or time.monotonic() > deadline:
                return tuple(errors[-ERRORS_SHOWN_MAX:])
            await asyncio.sleep(LOGS_POLL_S)  # lines come through the indexer, which tells nobody here


def _state_reasons(case: Case, state: State) -> list[str]:
    """Say what is wrong with the state at the end; without an expected one, and with claims, the claims decide."""
    if case.expected_state is not None:
        return [] if state is case.expected_state else [f"expected the state {case.expected_state}, but it is {state}"]
    if state in BAD_ENDS and not case.assertions:
        return [f"the execution ended {state}"]
    return []


def _sent(value: Any) -> Any:
    """Return an input as a caller would send it."""
    return value if isinstance(value, str | list | dict) or value is None else text_of(value)
