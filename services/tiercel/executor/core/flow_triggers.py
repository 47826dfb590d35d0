"""
Flow triggers: aggregates of their own, keyed like executions, behind the same fence (reference 5.4, 5.7).

An execution's change of state is told to every trigger that it may concern (`listening`). Here the trigger decides:
what it has met so far in its windows are its rows, executions that it starts are its answers.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from tiercel.condition.evaluate import Subject, upstream_of
from tiercel.condition.flow_trigger import (
    execution_labels,
    kept_after_firing,
    listening,
    results,
    satisfied,
    single_holds,
    trigger_variables,
    windows,
)
from tiercel.condition.window import OpenWindow, window_at
from tiercel.errors import ExpressionError, FlowAuthorError, InvalidInput
from tiercel.executor.core import misses
from tiercel.executor.core.context import LazyContext
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.host import FactsHost
from tiercel.executor.core.inputs import typed_inputs
from tiercel.executor.core.listening import asks_attempts, listens
from tiercel.executor.core.outer import OuterOutputs
from tiercel.expression.nesting import nested
from tiercel.expression.rendering import Renderer
from tiercel.messages.execution_event import CreateExecution, UpstreamChanged, WindowEnded
from tiercel.messages.topics import EXECUTION_EVENT
from tiercel.model import ids
from tiercel.model.execution import LogEntry, TriggerInfo
from tiercel.model.flow import Dialect, Flow
from tiercel.model.instant import iso_text
from tiercel.model.state import State
from tiercel.plugins.core.trigger.flow import FlowTrigger
from tiercel.queue.base import Outgoing
from tiercel.statestore.base import Scope

_TASKS: Final = ("firstFailedTaskId", "lastTaskId")
"""Variables that cost a look at all task runs of the upstream: they are there for flows that name them."""


class Collected(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a trigger has met: its open windows by name, and the outputs of the flows that met something."""

    windows: dict[str, OpenWindow] = {}
    outputs: dict[str, dict[str, Any]] = {}
    fired: datetime | None = None
    """When it last fired, and until when windows were judged; kept for triggers with `onMiss`."""
    judged: datetime | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The trigger after the event, the executions that it starts, and what it says in its log."""

    scope: Scope
    messages: list[Outgoing] = []
    logs: list[LogEntry] = []


def judge(scope: Scope, event: WindowEnded, facts: Facts) -> Outcome:
    """Start a FAILED execution when the last window of a trigger with `onMiss` has ended without firing."""
    facts.at = event.at
    flow = facts.plan.flow if facts.plan is not None else None
    trigger = _trigger(flow, event)
    if flow is None or trigger is None:
        return Outcome(scope=_with(scope, Collected()))
    if trigger not in misses.watched(flow):
        return Outcome(scope=scope)
    collected = msgspec.convert(scope.body, Collected)
    judged, missed = misses.missed(trigger, event, collected.judged, collected.fired)
    after = _with(scope, msgspec.structs.replace(collected, judged=judged))
    if not missed or judged is None:
        return Outcome(scope=after)
    return Outcome(scope=after, messages=[misses.failed_execution(flow, trigger, judged, event, facts)])


def decide(scope: Scope, event: UpstreamChanged, facts: Facts) -> Outcome:
    """
    Fold an upstream execution's change into a trigger; raise Missing for what must be fetched first.

    A flow or trigger that is gone or disabled forgets what it has met. Deciding an event twice asks for the same
    execution, by its id.
    """
    facts.at = event.at
    flow = facts.plan.flow if facts.plan is not None else None
    trigger = _trigger(flow, event)
    if flow is None or trigger is None:
        return Outcome(scope=_with(scope, Collected()))
    if trigger not in listening(flow, event.upstream):
        return Outcome(scope=scope)
    asking = _Asking(flow, trigger, event, facts)
    if not single_holds(trigger, asking.subject, asking.render):
        return Outcome(scope=scope, logs=asking.logs)
    before = msgspec.convert(scope.body, Collected)
    after, concerned = _collected(before, asking)
    if not concerned or not _complete(trigger, after):
        return Outcome(scope=_with(scope, after), logs=asking.logs)
    messages = _fired(asking, after)
    rest = _after_firing(trigger, after)
    if trigger.on_miss is not None:
        rest = msgspec.structs.replace(rest, fired=event.at)
    return Outcome(scope=_with(scope, rest), messages=messages, logs=asking.logs)


def _trigger(flow: Flow | None, event: UpstreamChanged | WindowEnded) -> FlowTrigger | None:
    for trigger in flow.triggers if flow is not None and listens(flow) else ():
        if isinstance(trigger, FlowTrigger) and trigger.id == event.trigger_id and not trigger.disabled:
            return trigger
    return None


def _with(scope: Scope, collected: Collected) -> Scope:
    """Return the scope with what was met; the same one when that did not change."""
    body = msgspec.to_builtins(collected)
    return scope if body == scope.body else msgspec.structs.replace(scope, body=body)


def _collected(before: Collected, asking: _Asking) -> tuple[Collected, bool]:
    """Return what is met with this execution, and whether it has met anything; windows that are over are gone."""
    now = asking.event.at.astimezone(UTC)
    rules = windows(asking.trigger)
    if not rules:
        return before, True
    opened: dict[str, OpenWindow] = {}
    concerned = False
    for name, rule in rules.items():
        known = before.windows.get(name)
        window = window_at(known, rule, now)
        if not window.is_open(now):
            continue
        met = results(asking.trigger, name, asking.subject, asking.render)
        if any(met.values()):
            concerned = True
            opened[name] = window.with_met(met)
        elif known is window:
            opened[name] = known
    outputs = before.outputs if opened else {}
    upstream = asking.event.upstream
    if concerned and upstream.outputs:
        outputs = {**outputs, upstream.flow_id: upstream.outputs}
    return msgspec.structs.replace(before, windows=opened, outputs=outputs), concerned


def _complete(trigger: FlowTrigger, collected: Collected) -> bool:
    """Tell whether every window is satisfied, and none has fired that may only once."""
    once = trigger.window is not None and trigger.window.fire_once
    for name in windows(trigger):
        window = collected.windows.get(name)
        if window is None or not satisfied(trigger, name, window.met) or (once and window.fired):
            return False
    return True


def _after_firing(trigger: FlowTrigger, collected: Collected) -> Collected:
    """Return what stays: windows that need not be met anew before their end."""
    kept = {
        name: msgspec.structs.replace(window, fired=True)
        for name, window in collected.windows.items()
        if kept_after_firing(trigger, name)
    }
    return msgspec.structs.replace(collected, windows=kept, outputs=collected.outputs if kept else {})


def _fired(asking: _Asking, collected: Collected) -> list[Outgoing]:
    """Return the execution that is started: FAILED in the 2.x dialect when its inputs cannot be made, none in 1.x."""
    flow, trigger, event = asking.flow, asking.trigger, asking.event
    upstream = event.upstream
    new_id = ids.derived_id(event.at, event.execution_id, upstream.id, len(upstream.history))
    variables = {**trigger_variables(upstream, _outputs(asking, collected)), **_times_and_tasks(asking)}
    context = asking.context(variables)
    labels = execution_labels(flow, trigger, upstream, context, asking.render)
    failed, values = None, None
    try:
        values = _inputs(asking, context, new_id)
    except FlowAuthorError as error:
        failed = f"The inputs of trigger '{trigger.id}' cannot be rendered: {error}"
        if flow.dialect is not Dialect.V2:
            asking.log(f"No execution is started: {failed}")
            return []
    message = CreateExecution(
        execution_id=new_id,
        at=event.at,
        tenant_id=flow.tenant_id,
        namespace=flow.namespace,
        flow_id=flow.id,
        flow_revision=flow.revision or 1,
        inputs=values,
        labels=labels,
        trigger=TriggerInfo(id=trigger.id, type=trigger.type, variables=variables),
        failed=failed,
    )
    return [Outgoing(topic=EXECUTION_EVENT, key=new_id, message=message)]


def _times_and_tasks(asking: _Asking) -> dict[str, Any]:
    """Return when the upstream ran, and, where the flow asks for them, its first failed task and its last one."""
    flow, upstream = asking.flow, asking.event.upstream
    if flow.dialect is not Dialect.V2:
        return {}
    over = upstream.state.is_terminated or upstream.state is State.PAUSED
    found: dict[str, Any] = {"startDate": iso_text(upstream.history[0].date)}
    if over:
        found["endDate"] = iso_text(upstream.history[-1].date)
    if any(name in flow.source for name in _TASKS):
        runs = [record.run for record in asking.facts.ask("runs_of", upstream.id)]
        failed = [run.task_id for run in runs if run.state.is_failed]
        found |= {"firstFailedTaskId": failed[0]} if failed else {}
        found |= {"lastTaskId": runs[-1].task_id} if runs else {}
    return found


def _outputs(asking: _Asking, collected: Collected) -> dict[str, Any]:
    """Return `trigger.outputs`: merged in 1.x; by flow in 2.x, and without the flow too when it depends on one."""
    own = asking.event.upstream.outputs or {}
    if asking.flow.dialect is Dialect.V2:
        short = own if len(asking.trigger.depends_on) <= 1 else {}
        return {**short, **collected.outputs, **({asking.event.upstream.flow_id: own} if own else {})}
    return {key: value for outputs in (*collected.outputs.values(), own) for key, value in outputs.items()}


def _inputs(asking: _Asking, context: Mapping[str, Any], new_id: str) -> dict[str, Any] | None:
    """Return the typed inputs; without inputs of the trigger the flow's defaults, as far as they go."""
    given = asking.trigger.inputs
    values = asking.renderer.render_value(given, context) if given else {}
    try:
        return typed_inputs(asking.flow, values, asking.facts, asking.event.at, new_id)
    except InvalidInput:
        if given:
            raise
        return None


class _Asking:
    """One trigger asked about one execution: the means to render, and what went wrong meanwhile."""

    def __init__(self, flow: Flow, trigger: FlowTrigger, event: UpstreamChanged, facts: Facts) -> None:
        self.flow = flow
        self.trigger = trigger
        self.event = event
        self.facts = facts
        self.logs: list[LogEntry] = []
        self.renderer = Renderer(facts.engine, FactsHost(facts, event.at, f"{event.execution_id}:{event.upstream.id}"))
        upstream = upstream_of(event.upstream)
        if any(asks_attempts(condition) for condition in trigger.conditions):
            runs = facts.ask("runs_of", event.upstream.id)
            upstream = upstream_of(event.upstream, [record.run for record in runs])
        self.subject = Subject(
            namespace=flow.namespace,
            flow_id=flow.id,
            variables=self._condition_context(),
            execution=upstream,
        )

    def render(self, text: str, variables: Mapping[str, Any]) -> str:
        """Render a text; what cannot be is noted in the trigger's log."""
        try:
            return self.renderer.render(text, variables)
        except ExpressionError as error:
            self.log(f"'{text}' of trigger '{self.trigger.id}' cannot be evaluated: {error}")
            raise

    def log(self, message: str) -> None:
        """Write a line into the trigger's log."""
        self.logs.append(
            LogEntry(
                tenant_id=self.flow.tenant_id,
                namespace=self.flow.namespace,
                flow_id=self.flow.id,
                timestamp=self.event.at,
                level="WARN",
                message=message,
                trigger_id=self.trigger.id,
            )
        )

    def context(self, variables: Mapping[str, Any], outputs: Callable[[], Any] | None = None) -> LazyContext:
        """
        Return what expressions see: the flow that listens, the execution that is listened to, `trigger`.

        With `outputs` it is a condition of the 2.x dialect that looks: its `flow` is the one that is listened to.
        """
        upstream, facts = self.event.upstream, self.facts
        return LazyContext(
            {
                "outputs": outputs or (lambda: OuterOutputs(facts, upstream.id)),
                "inputs": lambda: facts.around.unseal(upstream.inputs or {}),
                "labels": lambda: nested(upstream.labels),
                "hasRetryAttempt": lambda: any(
                    len(record.run.attempts) > 1 for record in facts.ask("runs_of", upstream.id)
                ),
            },
            {
                "trigger": variables,
                "namespace": upstream.namespace,
                "flowId": upstream.flow_id,
                "state": upstream.state.value,
                "execution": {
                    "id": upstream.id,
                    "startDate": upstream.history[0].date,
                    "originalId": upstream.original_id or upstream.id,
                    "state": upstream.state.value,
                    "outputs": upstream.outputs or {},
                },
                "flow": {
                    "id": self.flow.id if outputs is None else upstream.flow_id,
                    "namespace": self.flow.namespace if outputs is None else upstream.namespace,
                    "revision": self.flow.revision if outputs is None else upstream.flow_revision,
                    "tenantId": self.flow.tenant_id,
                },
                "vars": self.flow.variables or {},
                "envs": facts.around.envs,
                "globals": facts.around.globals,
                "kestra": facts.around.kestra,
            },
        )

    def _condition_context(self) -> LazyContext:
        upstream = self.event.upstream
        variables = trigger_variables(upstream, upstream.outputs)
        return self.context(variables, self._given if self.flow.dialect is Dialect.V2 else None)

    def _given(self) -> Mapping[str, Any]:
        """Return what a `when` of the 2.x dialect sees: the outputs of the flow, and behind them those of its tasks."""
        upstream = self.event.upstream
        of_tasks: Any = OuterOutputs(self.facts, upstream.id)
        return ChainMap(dict(upstream.outputs or {}), of_tasks)
