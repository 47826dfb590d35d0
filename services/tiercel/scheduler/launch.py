"""From a decision to fire to the command that creates the execution: labels, typed inputs, the trigger's variables."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from tiercel.condition.evaluate import Render
from tiercel.condition.label import trigger_labels
from tiercel.errors import FlowAuthorError
from tiercel.expression.rendering import Renderer
from tiercel.flowspec.inputs import typed_inputs
from tiercel.flowspec.inputvalue import as_data
from tiercel.messages.execution_event import CreateExecution
from tiercel.model.execution import TriggerInfo
from tiercel.model.system import CORRELATION_ID, FROM
from tiercel.scheduler.core.effects import Fire
from tiercel.scheduler.core.plan import TriggerPlan
from tiercel.scheduler.expressions import Expressions
from tiercel.secrets.encryption import Encryption


class Launcher:
    """Makes create commands."""

    def __init__(self, expressions: Expressions, encryption_key: str | None = None) -> None:
        self._expressions = expressions
        self._seal = Encryption(encryption_key).seal if encryption_key else None

    async def command(self, plan: TriggerPlan, fire: Fire, now: datetime) -> CreateExecution:
        """Return the command for a decision to fire; inputs that cannot be had make the execution FAILED."""
        variables = _variables(plan, fire)
        failed = fire.failed
        inputs: dict[str, Any] | None = None
        try:
            inputs = await self._expressions.decided_by(plan.flow, now, partial(self._inputs, plan, fire, variables))
        except FlowAuthorError as error:
            failed = failed or f"The inputs of trigger '{plan.trigger.id}' cannot be used: {error}"
        labels = await self._expressions.decided(plan.flow, now, lambda render: _labels(plan, fire, variables, render))
        return CreateExecution(
            execution_id=fire.execution_id,
            at=now,
            tenant_id=plan.flow.tenant_id,
            namespace=plan.flow.namespace,
            flow_id=plan.flow.id,
            flow_revision=plan.flow.revision or 0,
            inputs=inputs,
            labels=labels,
            variables={"schedule": fire.variables} if fire.scheduled else {},
            trigger=TriggerInfo(id=plan.trigger.id, type=plan.trigger.type, variables=fire.variables),
            schedule_date=fire.date if fire.scheduled else None,
            failed=failed,
        )

    def _inputs(
        self, plan: TriggerPlan, fire: Fire, variables: Mapping[str, Any], renderer: Renderer
    ) -> dict[str, Any] | None:
        """Type what trigger and backfill give, with the flow's defaults; None for a flow without inputs."""
        given = renderer.render_value(dict(plan.trigger.inputs or {}), variables)
        typed = typed_inputs(
            plan.flow,
            {**given, **fire.inputs},
            renderer=renderer.render_data,
            encrypt=self._seal,
            execution={"id": fire.execution_id},
        )
        return as_data(typed) or None


def _variables(plan: TriggerPlan, fire: Fire) -> Mapping[str, Any]:
    about = {"id": plan.trigger.id, "type": plan.trigger.type}
    return {**plan.variables, "trigger": {**about, **fire.variables}}


def _labels(plan: TriggerPlan, fire: Fire, variables: Mapping[str, Any], render: Render) -> tuple[tuple[str, str], ...]:
    labels = dict(trigger_labels(plan.flow, plan.trigger, variables, render))
    labels.update(fire.labels)
    labels[FROM] = "trigger"
    labels.setdefault(CORRELATION_ID, fire.execution_id)
    return tuple(labels.items())
