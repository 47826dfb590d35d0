"""
The rules of a whole flow: what no single property can say.

Each rule lives beside its noun: `identity`, `inputrule`, `retryrule`, `taskrule`, `triggerrule`, `reference`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from tiercel.flowspec.binder import properties_of
from tiercel.flowspec.constantrule import check_constants
from tiercel.flowspec.findings import NOT_POSITIVE, Findings, UseKind
from tiercel.flowspec.identity import check_names, placed_leaves
from tiercel.flowspec.inputrule import check_defaults, check_inputs
from tiercel.flowspec.places import placed_tasks
from tiercel.flowspec.reference import check_references
from tiercel.flowspec.taskrule import check_retry, check_runnable_only, check_selector, check_task
from tiercel.flowspec.triggerrule import check_trigger, never_fires
from tiercel.model.duration import format_duration
from tiercel.model.flow import Dialect, Flow, PluginDefault, Quota, Sla, SlaType
from tiercel.model.input import REMOVED_INPUT_TYPES
from tiercel.plugins.core.trigger.flow import FlowTrigger
from tiercel.plugins.core.trigger.schedule import Schedule
from tiercel.plugins.registry import REGISTRY

RESERVED_IDS: Final = frozenset(
    {"pause", "resume", "force-run", "change-status", "kill", "executions", "search", "source", "disable", "enable"}
)
"""Words that the addresses of the API use in the place of a flow's id."""

QUOTA_MIN: Final = timedelta(minutes=1)
"""The shortest window of a quota."""


def validate_flow(flow: Flow, findings: Findings) -> Dialect:
    """Check the rules of a flow; what is found goes to `findings`. Return the dialect that the flow is of."""
    old = any(leaf.type in REMOVED_INPUT_TYPES for leaf, _ in placed_leaves(flow.inputs, ()))
    dialect = Dialect.V1 if old else flow.dialect
    _check_own(flow, dialect, findings)
    check_inputs(flow.inputs, ("inputs",), dialect, findings)
    for at, trigger in enumerate(flow.triggers):
        check_trigger(trigger, ("triggers", at), findings)
    for task, path in placed_tasks(flow):
        check_task(task, path, dialect, findings)
        check_runnable_only(task, path, findings)
    check_names(flow, findings)
    _check_preconditions(flow, findings)
    check_references(flow, findings)
    check_constants(flow, findings)
    if dialect is Dialect.V2:
        _check_scheduled_inputs(flow, findings)
    check_defaults(flow.inputs, ("inputs",), dialect, findings)
    _doubt_triggers(flow, dialect, findings)
    return dialect


def note_removed_inputs(flow: Flow, findings: Findings) -> None:
    """Note inputs of types that 2.0 took away, with what they are called now."""
    for leaf, path in placed_leaves(flow.inputs, ("inputs",)):
        now = REMOVED_INPUT_TYPES.get(leaf.type)
        if now is not None:
            findings.use_at(UseKind.REMOVED_INPUT_TYPE, (*path, "type"), str(leaf.type), str(now))


def _check_own(flow: Flow, dialect: Dialect, findings: Findings) -> None:
    if flow.id in RESERVED_IDS and dialect is Dialect.V2:
        findings.of_newer_rule(("id",), f"Flow id is a reserved keyword: {flow.id}; choose another one.")
    check_selector(flow.worker_selector, ("workerSelector",), findings)
    check_retry(flow.retry, ("retry",), findings)
    for at, sla in enumerate(flow.sla):
        for name in sla_needs(sla):
            findings.at(("sla", at, name), "must not be null")
        if sla.duration is not None and sla.duration <= timedelta():
            findings.of_newer_rule(("sla", at, "duration"), NOT_POSITIVE)
    for at, problem in quota_problems(flow.quotas):
        findings.at(("quotas", at, "duration"), problem)
    for at, default in enumerate(flow.plugin_defaults):
        for name, message in default_problems(default):
            findings.at(("pluginDefaults", at, "values", name), message)


def sla_needs(sla: Sla) -> Iterator[str]:
    """Yield the properties that an agreement of this type lacks."""
    if sla.type is SlaType.MAX_DURATION and sla.duration is None:
        yield "duration"
    if sla.type is SlaType.EXECUTION_ASSERTION and sla.assertion is None:
        yield "assert"


def quota_problems(quotas: Sequence[Quota]) -> Iterator[tuple[int, str]]:
    """Yield what is wrong with durations: each names one window, which is a minute at least."""
    for at, quota in enumerate(quotas):
        if quota.duration < QUOTA_MIN:
            yield at, f"must be at least {format_duration(QUOTA_MIN)}"
        if any(quota.duration == before.duration for before in quotas[:at]):
            yield at, f"Duplicate quota with duration [{format_duration(quota.duration)}]"


def default_problems(default: PluginDefault) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the values of a plugin default; those of a prefix are not checked against a type."""
    cls = REGISTRY.find(default.type)
    known = properties_of(cls) if cls is not None else None
    for name, value in default.values.items():
        if value is None:
            yield name, f"The default '{name}' of '{default.type}' must not be null"
        elif known is not None and name not in known:
            yield name, f'Unrecognized field "{name}" (class {default.type}); known are {", ".join(known)}'


def _check_preconditions(flow: Flow, findings: Findings) -> None:
    seen: set[str] = set()
    for at, trigger in enumerate(flow.triggers):
        if isinstance(trigger, FlowTrigger) and trigger.preconditions is not None:
            name = trigger.preconditions.id
            if name in seen:
                findings.of_flow(("triggers", at, "preconditions"), f"Duplicate preconditions with id [{name}]")
            seen.add(name)


def _check_scheduled_inputs(flow: Flow, findings: Findings) -> None:
    needed = [
        leaf.id
        for leaf, _ in placed_leaves(flow.inputs, ())
        if leaf.required and leaf.defaults is None and not leaf.auto_select_first and leaf.depends_on is None
    ]
    for at, trigger in enumerate(flow.triggers):
        if isinstance(trigger, Schedule) and not trigger.disabled:
            given = _given(trigger.inputs or {})
            missing = [name for name in needed if name not in given]
            if missing:
                names = ", ".join(f"'{name}'" for name in missing)
                message = f"Missing inputs for Schedule Trigger '{trigger.id}', missing inputs: {names}"
                findings.fails_by_newer_rule(("triggers", at), message)


def _given(inputs: dict[str, object], prefix: str = "") -> set[str]:
    names: set[str] = set()
    for name, value in inputs.items():
        names.add(f"{prefix}{name}")
        if isinstance(value, dict):
            names |= _given(value, f"{prefix}{name}.")
    return names


def _doubt_triggers(flow: Flow, dialect: Dialect, findings: Findings) -> None:
    wanted = "preconditions" if dialect is Dialect.V1 else "dependsOn"
    for at, trigger in enumerate(flow.triggers):
        if isinstance(trigger, Schedule) and never_fires(trigger):
            message = f"The trigger '{trigger.id}' never fires: no date meets the cron expression '{trigger.cron}'."
            findings.doubt_of_flow(("triggers", at, "cron"), message)
        if isinstance(trigger, FlowTrigger) and not (
            trigger.conditions or trigger.preconditions or trigger.depends_on or trigger.when is not None
        ):
            findings.doubt_of_flow(
                ("triggers", at),
                "This flow will be triggered for EVERY execution of EVERY flow on your instance. "
                f"We recommend adding the {wanted} property to the Flow trigger '{trigger.id}'.",
            )
