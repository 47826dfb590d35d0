"""The rules of single tasks that no property can say alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from tiercel.flowspec.findings import NOT_POSITIVE, Findings
from tiercel.flowspec.identity import check_input_names, check_output_names
from tiercel.flowspec.inputrule import check_inputs
from tiercel.flowspec.retryrule import retry_problems
from tiercel.flowspec.yaml import Path
from tiercel.model.duration import format_duration, parse_duration
from tiercel.model.flow import Dialect
from tiercel.model.property import is_expression
from tiercel.model.system import is_system_label
from tiercel.model.task import Retry, Task, WorkerSelector
from tiercel.plugins.base import FlowableTask, RunnableTask
from tiercel.plugins.core.flow.approval import Approval
from tiercel.plugins.core.flow.choice import Switch
from tiercel.plugins.core.flow.loop import Loop
from tiercel.plugins.core.flow.parallel import Dag
from tiercel.plugins.core.flow.pause import Pause
from tiercel.plugins.core.flow.purge import PurgeFlows
from tiercel.plugins.core.flow.sleep import Sleep
from tiercel.plugins.core.flow.subflow import ForEachItem, Subflow
from tiercel.plugins.core.flow.workingdirectory import WorkingDirectory

_RUNNABLE_ONLY: Final = (("timeout", "timeout"), ("task_cache", "taskCache"), ("worker_selector", "workerSelector"))

Say = Callable[[str], None]


def check_task(task: Task, path: Path, dialect: Dialect, findings: Findings) -> None:
    """Check one task; its children are checked on their own."""
    check_retry(task.retry, (*path, "retry"), findings)
    _check_timeout(task, path, findings)
    check_selector(task.worker_selector, (*path, "workerSelector"), findings)

    def say(message: str) -> None:
        findings.at(path, message)

    match task:
        case Dag():
            _check_dag(task, say)
        case Switch():
            _check_switch(task, path, findings)
        case WorkingDirectory():
            _check_folder(task, say)
        case Subflow() | ForEachItem():
            _check_labels(task.labels, say)
        case Pause():
            check_input_names(task.on_resume, (*path, "onResume"), findings)
            check_inputs(task.on_resume, (*path, "onResume"), dialect, findings)
        case PurgeFlows():
            if task.behavior.before is not None and task.behavior.keep_amount is not None:
                findings.at((*path, "behavior"), "Cannot set both 'before' and 'keepAmount' properties")
        case Approval():
            check_input_names(task.inputs, (*path, "inputs"), findings)
            check_inputs(task.inputs, (*path, "inputs"), dialect, findings)
        case Sleep():
            _check_sleep(task, path, findings)
        case Loop():
            check_output_names(task.outputs, (*path, "outputs"), findings)
        case _:
            return


def _check_timeout(task: Task, path: Path, findings: Findings) -> None:
    timeout = task.timeout
    if isinstance(timeout, str):
        if is_expression(timeout):
            return
        try:
            timeout = parse_duration(timeout)
        except ValueError as error:
            findings.at((*path, "timeout"), str(error))
            return
    if timeout is not None and timeout < timedelta():
        findings.at((*path, "timeout"), f"must not be negative, but is {format_duration(timeout)}")


def _check_sleep(task: Sleep, path: Path, findings: Findings) -> None:
    try:
        length = parse_duration(task.duration)
    except ValueError:
        return  # an expression, or said of the property itself
    if length < timedelta():
        findings.of_newer_rule((*path, "duration"), NOT_POSITIVE)


def check_retry(retry: Retry | None, path: Path, findings: Findings) -> None:
    """Check a retry of a task or a flow."""
    if retry is not None:
        for name, message in retry_problems(retry):
            findings.at((*path, name) if name else path, message)


def check_selector(selector: WorkerSelector | None, path: Path, findings: Findings) -> None:
    """Check that what is said about the choice of workers chooses any."""
    if selector is not None and not selector.tags and (selector.fallback or selector.match):
        findings.at(path, "'tags' must name at least one tag when 'match' or 'fallback' is set")


def check_runnable_only(task: Task, path: Path, findings: Findings) -> None:
    """Doubt each property of a flowable that only a runnable task heeds."""
    if isinstance(task, FlowableTask) and not isinstance(task, Approval | Pause | WorkingDirectory):
        for attribute, name in _RUNNABLE_ONLY:
            if getattr(task, attribute) is not None:
                message = (
                    f"The task '{task.id}' cannot use the '{name}' property as it's only relevant for runnable tasks."
                )
                findings.doubt_of_flow((*path, name), message)


def _check_switch(task: Switch, path: Path, findings: Findings) -> None:
    if not any(task.cases.values()) and not task.defaults:
        findings.at(path, f"{task.id}: No task defined, neither cases or default have any tasks")
        return
    for name, tasks in task.cases.items():
        if not tasks:
            findings.of_newer_rule((*path, "cases", name), "must not be empty")


def _check_folder(task: WorkingDirectory, say: Say) -> None:
    children = task.tasks
    if not children:
        say(f"{task.id}: The 'tasks' property cannot be empty")
    if any(not isinstance(child, RunnableTask) for child in children):
        say(f"{task.id}: Only runnable tasks are allowed as children of a WorkingDirectory task")
    if any(child.worker_group is not None for child in children):
        say(
            "Cannot set a Worker Group in any WorkingDirectory sub-tasks, "
            "it is only supported at the WorkingDirectory level"
        )
    if any(child.worker_selector is not None for child in children):
        say("Cannot set routing requirements (workerSelector) on WorkingDirectory sub-tasks")


def _check_dag(task: Dag, say: Say) -> None:
    needs = {entry.task.id: entry.depends_on for entry in task.tasks}
    unknown = [name for names in needs.values() for name in names if name not in needs]
    if unknown:
        say(f"{task.id}: Not existing task id in dependency: {', '.join(dict.fromkeys(unknown))}")
    circle = [name for name in needs if name in _reached(name, needs)]
    if circle:
        say(f"{task.id}: Cyclic dependency detected: {', '.join(circle)}")


def _reached(name: str, needs: dict[str, tuple[str, ...]]) -> set[str]:
    reached: set[str] = set()
    waiting = list(needs[name])
    while waiting:
        other = waiting.pop()
        if other not in reached and other in needs:
            reached.add(other)
            waiting.extend(needs[other])
    return reached


def _check_labels(labels: Any, say: Say) -> None:
    pairs: list[tuple[str, Any]] = []
    if isinstance(labels, dict):
        pairs = list(labels.items())
    elif isinstance(labels, list):
        pairs = [(str(label.get("key")), label.get("value")) for label in labels if isinstance(label, dict)]
    for name, value in pairs:
        if is_system_label(name):
            say(f"System labels can only be set by Kestra itself, offending label: {name}={value}.")
