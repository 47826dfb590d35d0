"""
Runs every case of a corpus' `schedule.yaml`: dates of schedules, conditions, labels, windows, agreements, relations.

The scenarios of the scheduler run on the service itself (`schedule_scenario.py`). The dialect follows the corpus: cases
of the later Kestra are those whose ids start with `v2.`.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import tests.conformance.test_plugins  # noqa: F401 - registers the types that only the corpora use
from tests.conformance.corpus import Folder, read_yaml
from tests.conformance.interpolation import Names
from tests.conformance.result import CaseResult, Mismatch, only, passed, verdict
from tests.conformance.schedule_cluster import poll_address
from tests.conformance.schedule_flow import bound, bound_flow, engine, expect
from tests.conformance.schedule_relation import identified, run_dependencies, run_topology
from tests.conformance.schedule_scenario import run_scenario
from tests.conformance.values import instant
from tiercel.condition import flow_trigger, label, sla, window
from tiercel.condition.evaluate import Subject, Upstream, all_hold, holds, upstream_of, when_holds
from tiercel.errors import ExpressionError
from tiercel.expression.rendering import Renderer
from tiercel.model.backoff import delay
from tiercel.model.duration import parse_duration
from tiercel.model.execution import Execution, ExecutionKind
from tiercel.model.flow import Flow, Sla
from tiercel.model.state import State, StateChange
from tiercel.model.task import Condition, Retry
from tiercel.plugins.core.trigger.flow import FlowTrigger, TimeWindow, Window
from tiercel.schedule.timetable import DatesTimetable
from tiercel.schedule.zone import find_zone
from tiercel.scheduler.core import dates, firing
from tiercel.scheduler.core.plan import Surroundings, TriggerPlan, plan_of, scheduled
from tiercel.scheduler.launch import Launcher
from tiercel.testing.virtual_time import run_virtual

FILE: Final = "schedule.yaml"
_OPERATIONS: Final = ("evaluate", "next_evaluation_date", "previous_evaluation_date")
_EVALUATED: Final = (
    "execution", "schedule", "schedule_absent", "schedule_offset", "labels_contain", "labels_has_keys", "labels_absent",
    "labels_count", "inputs", "inputs_size",
)  # fmt: skip
NOW: Final = "2024-07-15T10:20:30Z"
Run = Callable[[Path, Mapping[str, Any], Mapping[str, Any]], None]


def run_schedule_cases(folder: Path) -> list[CaseResult]:
    """Run all cases of the folder's schedule.yaml; none when the file is missing."""
    document = read_yaml(folder / FILE) or {}
    runners: dict[str, Run] = {
        "schedule": _run_schedule,
        "schedule_on_dates": _run_schedule,
        "scheduler": _run_scheduler,
        "http_trigger": _run_http_trigger,
        "flow_trigger": _run_flow_trigger,
        "labels": _run_labels,
        "conditions": _run_condition,
        "condition_lists": _run_condition_list,
        "windows": _run_window,
        "sla": _run_sla,
        "topology": run_topology,
        "dependencies": run_dependencies,
        "retries": _run_retry,
    }
    return [_outcome(case, run, folder, document) for key, run in runners.items() for case in document.get(key) or ()]


def _outcome(case: Mapping[str, Any], run: Run, folder: Path, document: Mapping[str, Any]) -> CaseResult:
    name, features = str(case["id"]), tuple(case.get("features") or ())
    try:
        run(folder, document, case)
    except Exception as error:  # whatever a case does to the runner is that case's failure
        return verdict(name, FILE, error, features)
    return passed(name, FILE, features)


def _is_new(case: Mapping[str, Any]) -> bool:
    return str(case["id"]).startswith("v2.")


def _now(case: Mapping[str, Any]) -> datetime:
    return instant(case.get("now", NOW)).astimezone(UTC)


# Dates of schedules


def _run_schedule(folder: Path, document: Mapping[str, Any], case: Mapping[str, Any]) -> None:
    now = _now(case)
    given = {"id": "schedule-flow", **document["schedule_flow"]}
    if "flow_inputs" in case:
        given["inputs"] = case["flow_inputs"]
    flow = bound_flow(given, [case["trigger"]])
    ((place, _, kind),) = scheduled(flow)
    with engine(flow.dialect, now) as (expressions, renderer):
        around = Surroundings(zone=find_zone(case.get("system_zone", "UTC")))
        plan = plan_of(flow, place, kind, around, renderer.render)
        if case["operation"] == "evaluate":
            asyncio.run(_evaluate(case, plan, now, Launcher(expressions), renderer.render))
            return
        only([case["operation"]], _OPERATIONS, "the operation on a schedule")
        assert plan.timetable is not None
        last = instant(case["last"]["date"]) if case.get("last") else None
        if case["operation"] == "previous_evaluation_date":
            found = dates.last_before(plan, last or now, now, renderer.render)
        else:
            found = dates.next_date(plan, last or now, now, renderer.render)
        _expect_date(found, case["expect"], plan)


def _expect_date(found: datetime | None, wanted: Mapping[str, Any], plan: TriggerPlan) -> None:
    if found is None:
        raise Mismatch(f"There is no date, expected {wanted}.")
    if "instant" in wanted:
        expect("the date", instant(wanted["instant"]), found)
    if "local_date" in wanted:
        expect("the local date", wanted["local_date"], found.astimezone(plan.zone).date().isoformat())


async def _evaluate(case: Mapping[str, Any], plan: TriggerPlan, now: datetime, launcher: Launcher, render: Any) -> None:
    assert plan.timetable is not None
    backfill, wanted = case.get("backfill"), case["expect"]
    only(wanted, _EVALUATED, "the claim on an evaluation")
    date = instant(backfill["currentDate"] if backfill else case["date"])
    slot = plan.timetable.after(date - timedelta(seconds=1))
    # Dates that are given are not asked whether they have come; the scheduler does not ask before.
    latest = date if backfill or isinstance(plan.timetable, DatesTimetable) else now + timedelta(seconds=1)
    due = slot is not None and slot <= latest
    # In 2.0 the scheduler tests `when` before, the evaluation itself does not refuse.
    if due and slot is not None and not _is_new(case):
        due = dates.counts(plan, slot, render)
    expect("an execution is made", wanted["execution"], due)
    if not due or slot is None:
        return
    command = await launcher.command(plan, firing.for_date(plan, slot, "execution", now, render), now)
    assert command.trigger is not None
    _expect_variables(command.trigger.variables, wanted)
    labels = dict(command.labels)
    for key, value in wanted.get("labels_contain", {}).items():
        expect(f"label {key}", value, labels.get(key))
    for key in wanted.get("labels_absent", ()):
        expect(f"label {key} is there", False, key in labels)
    for key in wanted.get("labels_has_keys", ()):
        expect(f"label {key} is there", True, key in labels)
    if "labels_count" in wanted:
        expect("number of labels", wanted["labels_count"], len(labels))
    inputs = command.inputs or {}
    for key, value in wanted.get("inputs", {}).items():
        expect(f"input {key}", value, inputs.get(key))
    if "inputs_size" in wanted:
        expect("number of inputs", wanted["inputs_size"], len(inputs))
    if command.failed is not None:
        raise Mismatch(f"The execution is FAILED: {command.failed}")


def _expect_variables(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for name, date in wanted.get("schedule", {}).items():
        if name not in found:
            raise Mismatch(f"trigger.{name} is missing, expected {date}.")
        expect(f"trigger.{name}", instant(date), instant(found[name]))
    for name in wanted.get("schedule_absent", ()):
        expect(f"trigger.{name} is there", False, name in found)
    for name, offset in wanted.get("schedule_offset", {}).items():
        expect(f"offset of trigger.{name}", True, str(found[name]).endswith(offset))


def _run_scheduler(folder: Path, document: Mapping[str, Any], case: Mapping[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as storage:
        asyncio.run(run_scenario(document[case["flow"]], case, Path(storage)))


def _run_http_trigger(folder: Path, document: Mapping[str, Any], case: Mapping[str, Any]) -> None:
    only(case["expect"], ("executions_created_min",), "the claim on a trigger that polls")
    source, least = Folder(folder).text(case["flow"]), case["expect"]["executions_created_min"]
    with tempfile.TemporaryDirectory() as scratch:
        run_virtual(poll_address(source, least, Path(scratch)))


# Flow triggers, labels, conditions


def _execution(given: Mapping[str, Any] | None, default: Flow) -> Execution:
    given = given or {}
    about = given.get("flow") or {}
    state = State(given.get("state", "RUNNING"))
    return Execution(
        id="execution",
        tenant_id=given.get("tenantId") or default.tenant_id,
        namespace=given.get("namespace") or about.get("namespace") or default.namespace,
        flow_id=given.get("flowId") or about.get("id") or default.id,
        flow_revision=given.get("flowRevision", 1),
        state=state,
        history=(StateChange(state, instant(NOW)),),
        labels=tuple((given.get("labels") or {}).items()),
        inputs=given.get("inputs"),
        outputs=given.get("outputs"),
        kind=ExecutionKind(given.get("kind", "NORMAL")),
    )


def _upstream(given: Mapping[str, Any] | None, default: Flow) -> Upstream:
    runs = (given or {}).get("taskRunList") or ()
    attempts = tuple(tuple(State(attempt["state"]) for attempt in run["attempts"]) for run in runs)
    found = upstream_of(_execution(given, default))
    return Upstream(
        namespace=found.namespace,
        flow_id=found.flow_id,
        state=found.state,
        labels=found.labels,
        outputs=found.outputs,
        attempts=attempts,
    )


def _subject(flow: Flow, upstream: Upstream | None, execution: Mapping[str, Any] | None = None) -> Subject:
    about = {"id": flow.id, "namespace": flow.namespace, "revision": flow.revision, "tenantId": flow.tenant_id}
    variables: dict[str, Any] = {"flow": about, "trigger": {"date": NOW}}
    if execution and execution.get("inputs"):
        variables["inputs"] = execution["inputs"]
    return Subject(namespace=flow.namespace, flow_id=flow.id, variables=variables, execution=upstream)


def _run_flow_trigger(folder: Path, document: Mapping[str, Any], case: Mapping[str, Any]) -> None:
    wanted = case["expect"]
    flow = bound_flow(case["flow"], case["flow"].get("triggers") or [case["trigger"]])
    execution = _execution(case["execution"], flow)
    (trigger,) = flow.triggers
    assert isinstance(trigger, FlowTrigger)
    with engine(flow.dialect, instant(NOW)) as (_, renderer):
        subject = _subject(flow, upstream_of(execution))
        if case["operation"] == "executions_to_run":
            started = [
                each for each in flow_trigger.listening(flow, execution)
                if flow_trigger.single_holds(each, subject, renderer.render) and _windows_met(each, subject, renderer)
            ]  # fmt: skip
            expect("executions", wanted["executions"], len(started))
            return
        variables = flow_trigger.trigger_variables(execution)
        seen = {**subject.variables, "trigger": variables}
        labels = dict(flow_trigger.execution_labels(flow, trigger, execution, seen, renderer.render))
    expect("flow", wanted.get("flowId", flow.id), flow.id)
    if "labels_count" in wanted:
        expect("number of labels", wanted["labels_count"], len(labels))
    for key, value in wanted.get("labels_contain", {}).items():
        expect(f"label {key}", value, labels.get(key))
    for key in wanted.get("labels_absent", ()):
        expect(f"label {key} is there", False, key in labels)
    for key, value in wanted.get("trigger_variables", {}).items():
        expect(f"trigger.{key}", value, variables.get(key))


def _windows_met(trigger: FlowTrigger, subject: Subject, renderer: Renderer) -> bool:
    """Tell whether this one execution is all that the trigger's windows wait for."""
    return all(
        flow_trigger.satisfied(trigger, name, flow_trigger.results(trigger, name, subject, renderer.render))
        for name in flow_trigger.windows(trigger)
    )


def _run_labels(folder: Path, document: Mapping[str, Any], case: Mapping[str, Any]) -> None:
    trigger = {"id": "trigger", "cron": "* * * * *", **case["trigger"]}
    flow = bound_flow({"id": "test", "namespace": "io.kestra.unittest", **case["flow"]}, [trigger])
    with engine(flow.dialect, instant(NOW)) as (_, renderer):
        found = label.trigger_labels(flow, flow.triggers[0], case.get("variables") or {}, renderer.render)
    expect("labels", case["expect"]["labels"], dict(found))


def _run_condition(folder: Path, document: Mapping[str, Any], case: Mapping[str, Any]) -> None:
    case = Names(instant(NOW)).fill(dict(case))
    flow = bound_flow(case["flow"])
    condition = bound(Condition, {**identified(case["condition"])})
    with engine(flow.dialect, instant(NOW)) as (_, renderer):
        subject = _subject(flow, _upstream(case["execution"], flow), case["execution"])
        expect("the condition holds", case["expect"], holds(condition, subject, renderer.render))


def _run_condition_list(folder: Path, document: Mapping[str, Any], case: Mapping[str, Any]) -> None:
    given, wanted = case["execution"], case["expect"]
    flow = bound_flow(case["flow"])
    upstream = _upstream(given, flow) if given is not None else None
    subject = _subject(flow, upstream, given)
    trigger = bound_flow(case["flow"], [case["trigger"]]).triggers[0] if "trigger" in case else None
    conditions = [bound(Condition, condition) for condition in case.get("conditions") or ()]
    with engine(flow.dialect, instant(NOW)) as (_, renderer):
        try:
            valid = all_hold(conditions, subject, renderer.render)
            valid = valid and (trigger is None or when_holds(trigger.when, subject.variables, renderer.render))
            said = ""
        except ExpressionError as error:
            valid, said = False, f"Evaluate Condition Failed: {error}"
    if isinstance(wanted, bool):
        expect("the conditions hold", wanted, valid)
        return
    expect("the conditions hold", wanted.get("valid", False), valid)
    if wanted.get("log"):
        expect("the reason is told", True, wanted["log"].get("contains", "") in said and said != "")


# Windows, agreements, retries


def _run_window(folder: Path, document: Mapping[str, Any], case: Mapping[str, Any]) -> None:
    now = instant(case["now"]) if "now" in case else instant(NOW)
    case = Names(now).fill(dict(case))
    rule: TimeWindow | Window
    rule = bound(Window, case["window"]) if "window" in case else bound(TimeWindow, case["timeWindow"])
    wanted = case["expect"]
    if "steps" not in wanted:
        _expect_bounds(window.bounds_of(rule, now), wanted)
        return
    stored: window.OpenWindow | None = None
    made: dict[str, window.OpenWindow] = {}
    last = ""
    for step in wanted["steps"]:
        verb = next(iter(step))
        match verb:
            case "get_or_create" | "create" | "get":
                last = step[verb]
                made[last] = window.window_at(stored, rule, now)
                _expect_window(made, last, step)
            case "save_results":
                stored = made[last].with_met(step[verb])
            case "expired_count":
                expect("expired windows", step[verb], int(stored is not None and stored.end < now))
            case "sleep":
                now += parse_duration(step[verb])


def _expect_bounds(found: window.Bounds, wanted: Mapping[str, Any]) -> None:
    for name, at in (("start", found.start), ("end", found.end)):
        claim = wanted.get(name)
        if isinstance(claim, str):
            expect(name, instant(claim), at)
        elif claim:
            only(claim, ("hour", "minute", "second", "minute_in", "hour_in"), "the claim on a window")
            for part, value in claim.items():
                unit = part.removesuffix("_in")
                expect(f"{part} of {name}", True, getattr(at, unit) in (value if part != unit else [value]))


def _expect_window(made: Mapping[str, window.OpenWindow], name: str, step: Mapping[str, Any]) -> None:
    found = made[name]
    if "results" in step:
        expect(f"results of {name}", step["results"], found.met)
    for key in step.get("results_absent", ()):
        expect(f"result {key} of {name}", None, found.met.get(key))
    if "start_differs_from" in step:
        expect("the windows differ", True, found.start != made[step["start_differs_from"]].start)


def _run_sla(folder: Path, document: Mapping[str, Any], case: Mapping[str, Any]) -> None:
    now = instant(NOW)
    agreement = bound(Sla, {"id": "sla", "behavior": "FAIL", **case["sla"]})
    lasted = parse_duration((case.get("execution") or {}).get("running_for", "PT0S"))
    flow = bound_flow({"id": "test", "namespace": "io.kestra.unittest"})
    with engine(flow.dialect, now) as (_, renderer):
        said = sla.violation(agreement, now - lasted, now, case.get("variables") or {}, renderer.render)
    wanted = case["expect"]["violation"]
    if wanted is None:
        expect("violation", None, said)
        return
    only(wanted, ("reason_equals", "reason_contains"), "the claim on a violation")
    if "reason_equals" in wanted:
        expect("reason", wanted["reason_equals"], said)
    parts = wanted.get("reason_contains", ())
    for part in [parts] if isinstance(parts, str) else parts:
        expect(f"'{part}' in '{said}'", True, said is not None and part in said)


def _run_retry(folder: Path, document: Mapping[str, Any], case: Mapping[str, Any]) -> None:
    policy = bound(Retry, case["retry"])
    for claim in case["expect"]:
        found = delay(policy, claim["attempt"], "seed")
        if "delay" in claim:
            expect(f"delay after attempt {claim['attempt']}", parse_duration(claim["delay"]), found)
        else:
            low, high = (parse_duration(text) for text in claim["delay_between"])
            expect(f"delay after attempt {claim['attempt']} in bounds", True, low <= found < high)
