"""Commands to one execution, in the older form (`/executions/{id}/pause`) and the newer (`…/actions/pause`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from litestar import Response, delete, post
from litestar.params import FromPath

from tiercel.errors import Conflict, NotFound, Refused
from tiercel.messages.execution_event import ReplayRequested, TaskRunStateRequested
from tiercel.model.execution import Execution
from tiercel.model.flow import Flow, walk
from tiercel.model.input import Input
from tiercel.model.state import State
from tiercel.model.system import is_system_label
from tiercel.plugins.core.flow.approval import Approval
from tiercel.plugins.core.flow.pause import Pause
from tiercel.storage import uris
from tiercel.webserver import command, creation, inputs, multipart, query
from tiercel.webserver.command import Command
from tiercel.webserver.context import Call
from tiercel.webserver.problem import BadQuery
from tiercel.webserver.request import AnyRequest, json_of

_ID: Final = "/api/v1/executions/{execution_id:str}"


def _paths(action: str) -> list[str]:
    return [f"{_ID}/{action}", f"{_ID}/actions/{action}"]


async def obeyed(call: Call, execution_id: str, wanted: Command, old_status: int = 200) -> Response[Any]:
    """Give a command and answer with the execution as it is then."""
    execution = await call.api.reader.head(call.tenant_id, execution_id)
    event = await command.give(call.api, wanted, execution)
    shown = event.new_id if isinstance(event, ReplayRequested) else execution_id
    view = await call.api.reader.view(call.tenant_id, shown)
    return Response(view.to_json(call.api.clock), status_code=200 if call.is_new else old_status)


def read_state(text: str | None, name: str) -> State:
    """Read a state of the query or a body."""
    if text is None:
        raise BadQuery(f"Required QueryValue [{name}] not specified; add '?{name}=…' to the URL.")
    if text not in State.__members__:
        raise Refused(f"'{text}' is not a state; use one of {', '.join(State)}.")
    return State(text)


@delete(_paths("kill"), status_code=200, tags=["Executions"])
async def kill_execution(request: AnyRequest, execution_id: FromPath[str]) -> Response[Any]:
    """Kill an execution and, with `isOnKillCascade` (the default), those that it started."""
    call = Call(request)
    wanted = command.kill(cascade=call.query.flag("isOnKillCascade", default=True))
    return await obeyed(call, execution_id, wanted, old_status=202)


@post(_paths("pause"), status_code=200, tags=["Executions"])
async def pause_execution(request: AnyRequest, execution_id: FromPath[str]) -> Response[Any]:
    """Pause a running execution: what runs ends, nothing else starts."""
    return await obeyed(Call(request), execution_id, command.pause())


@post(_paths("resume"), status_code=200, tags=["Executions"])
async def resume_execution(request: AnyRequest, execution_id: FromPath[str]) -> Response[Any]:
    """Resume a paused execution, with the inputs that its pause asks for."""
    call = Call(request)
    execution = await call.api.reader.head(call.tenant_id, execution_id)
    typed = await _resume_inputs(call, execution)
    return await obeyed(call, execution_id, command.resume(typed))


async def _resume_inputs(call: Call, execution: Execution) -> dict[str, Any] | None:
    if execution.state is not State.PAUSED:
        return None  # the command refuses with the reason
    flow, asked = await _asked(call, execution)
    if not asked:
        return None
    with multipart.form() as form:
        await read_form(call.request, form, call.api.settings.text_part_max)
        given = await inputs.stored(call.api, flow, execution.id, asked, form)
        return await inputs.typed_values(call.api, flow, execution.id, asked, given)


@post(_paths("resume/validate"), status_code=200, tags=["Executions"])
async def validate_resume(request: AnyRequest, execution_id: FromPath[str]) -> dict[str, Any]:
    """Say for each input that a resume asks for whether the value that is given is good."""
    call = Call(request)
    execution = await call.api.reader.head(call.tenant_id, execution_id)
    if execution.state is not State.PAUSED:
        raise Conflict(command.resume().refusal(execution))
    flow, asked = await _asked(call, execution)
    with multipart.form() as form:
        await read_form(request, form, call.api.settings.text_part_max)
        answers = await inputs.judged(call.api, flow, execution.id, asked, form)
    return {"id": flow.id, "namespace": flow.namespace, "inputs": answers, "checks": []}


async def _asked(call: Call, execution: Execution) -> tuple[Flow, tuple[Input, ...]]:
    """Return the flow, and the inputs that the first paused task asks for."""
    flow = await flow_of(call, execution)
    view = await call.api.reader.view(call.tenant_id, execution.id)
    tasks = {task.id: task for task in all_tasks(flow)}
    for run in view.runs:
        task = tasks.get(run.task_id)
        if run.state is State.PAUSED and isinstance(task, Pause):
            return flow, task.on_resume
        if run.state is State.PAUSED and isinstance(task, Approval):
            raise Conflict(f"The approval '{task.id}' waits for a decision; give it to '…/actions/review'.")
    return flow, ()


def all_tasks(flow: Flow) -> list[Any]:
    """Return every task of a flow, of all its branches."""
    return list(walk((*flow.tasks, *flow.errors, *flow.finally_, *flow.after_execution)))


async def flow_of(call: Call, execution: Execution) -> Flow:
    """Return the flow of an execution at its revision, even if it was deleted since."""
    flow = await call.api.definitions.flow(
        execution.tenant_id, execution.namespace, execution.flow_id, execution.flow_revision, deleted=True
    )
    if flow is None:
        name = f"{execution.namespace}.{execution.flow_id}"
        raise NotFound(f"Flow '{name}' in revision {execution.flow_revision} does not exist.")
    return flow


async def read_form(request: AnyRequest, form: multipart.Form, text_max: int) -> None:
    """Read the body of a request into the form, if there is one."""
    content_type = request.headers.get("content-type", "")
    if content_type.startswith("multipart/"):
        await multipart.read(form, content_type, request.stream(), text_max)


@post(_paths("restart"), status_code=200, tags=["Executions"])
async def restart_execution(request: AnyRequest, execution_id: FromPath[str]) -> Response[Any]:
    """Run what failed again: in place, or as a new execution with another revision."""
    call = Call(request)
    revision = call.query.number("revision", least=1)
    if revision is not None:
        await _require_revision(call, execution_id, revision)
    return await obeyed(call, execution_id, command.restart(revision))


@post(_paths("replay"), status_code=200, tags=["Executions"])
async def replay_execution(request: AnyRequest, execution_id: FromPath[str]) -> Response[Any]:
    """Run an execution again as a new one, from the beginning or from a task run on."""
    return await _replay(Call(request), execution_id, None)


@post(_paths("replay-with-inputs"), status_code=200, tags=["Executions"])
async def replay_with_inputs(request: AnyRequest, execution_id: FromPath[str]) -> Response[Any]:
    """Run an execution again as a new one, with other inputs."""
    call = Call(request)
    with multipart.form() as form:
        await read_form(request, form, call.api.settings.text_part_max)
        return await _replay(call, execution_id, form)


async def _replay(call: Call, execution_id: str, form: multipart.Form | None) -> Response[Any]:
    task_run_id = call.query.one("taskRunId") or None
    if task_run_id is None:
        view = await call.api.reader.view(call.tenant_id, execution_id)
    else:
        view = await call.api.reader.owner(call.tenant_id, execution_id, task_run_id)
        execution_id = view.execution.id
    breakpoints = creation.read_breakpoints(call.query)
    revision = call.query.number("revision", least=1)
    if revision is not None:
        await _require_revision(call, execution_id, revision)
    new_id, _ = creation.new_id(call.api)
    typed = None
    if form is not None:
        flow = await flow_of(
            call, msgspec.structs.replace(view.execution, flow_revision=revision or view.execution.flow_revision)
        )
        typed = await inputs.typed(call.api, flow, new_id, form)
    return await obeyed(call, execution_id, command.replay(lambda _: revision, task_run_id, typed, new_id, breakpoints))


async def _require_revision(call: Call, execution_id: str, revision: int) -> None:
    execution = await call.api.reader.head(call.tenant_id, execution_id)
    await flow_of(call, msgspec.structs.replace(execution, flow_revision=revision))


@post(_paths("state"), status_code=200, tags=["Executions"])
async def set_task_run_state(request: AnyRequest, execution_id: FromPath[str]) -> Response[Any]:
    """Set a task run to a state by hand, and go on from there."""
    call = Call(request)
    body = await json_of(request)
    if not isinstance(body, Mapping) or not isinstance(body.get("taskRunId"), str):
        raise Refused('The body must be {"taskRunId": …, "state": …}.')
    task_run_id, state = body["taskRunId"], read_state(body.get("state"), "state")
    view = await call.api.reader.owner(call.tenant_id, execution_id, task_run_id)
    execution, execution_id = view.execution, view.execution.id
    if not (execution.state.is_terminated or execution.state is State.PAUSED) or execution.state is State.KILLED:
        raise Conflict("Cannot change task run state: execution must be terminated and not killed.")
    event = TaskRunStateRequested(
        execution_id=execution_id, at=call.api.clock.now(), task_run_id=task_run_id, state=state
    )
    await command.send(call.api, event)
    await command.effect(call.api, event, execution)
    return Response((await call.api.reader.view(call.tenant_id, execution_id)).to_json(call.api.clock))


@post(_paths("change-status"), status_code=200, tags=["Executions"])
async def change_status(request: AnyRequest, execution_id: FromPath[str]) -> Response[Any]:
    """Set the state of an execution that has ended."""
    call = Call(request)
    return await obeyed(call, execution_id, command.change_status(read_state(call.query.one("status"), "status")))


@post(_paths("labels"), status_code=200, tags=["Executions"])
async def set_labels(request: AnyRequest, execution_id: FromPath[str]) -> Response[Any]:
    """Replace the labels of an execution that has ended; those of the system stay."""
    call = Call(request)
    execution = await call.api.reader.head(call.tenant_id, execution_id)
    given = new_labels(query.label_list(await json_of(request)), execution)
    return await obeyed(call, execution_id, command.set_labels(given, keep=False))


def new_labels(given: dict[str, str], execution: Execution | None = None) -> dict[str, str]:
    """Return the labels without those of the system that the execution has; refuse others of the system."""
    own = dict(execution.labels) if execution is not None else {}
    wanted = {key: value for key, value in given.items() if not (is_system_label(key) and own.get(key) == value)}
    if system := next((key for key in wanted if is_system_label(key)), None):
        raise Refused(creation.offending_label(system, wanted[system]))
    return wanted


@post(_paths("force-run"), status_code=200, tags=["Executions"])
async def force_run(request: AnyRequest, execution_id: FromPath[str]) -> Response[Any]:
    """Run an execution now: without waiting for a slot, a date or a resume."""
    return await obeyed(Call(request), execution_id, command.force_run())


@post(_paths("unqueue"), status_code=200, tags=["Executions"])
async def unqueue(request: AnyRequest, execution_id: FromPath[str]) -> Response[Any]:
    """Take an execution out of the waiting line, into a state (RUNNING by default)."""
    call = Call(request)
    state = read_state(call.query.one("state") or State.RUNNING.value, "state")
    return await obeyed(call, execution_id, command.unqueue(state))


@post(_paths("resume-from-breakpoint"), status_code=200, tags=["Executions"])
async def resume_from_breakpoint(request: AnyRequest, execution_id: FromPath[str]) -> Response[Any]:
    """Go on from a breakpoint; `breakpoints` are those that hold from now on, none by default."""
    call = Call(request)
    return await obeyed(call, execution_id, command.leave_breakpoint(creation.read_breakpoints(call.query)))


@delete(_ID, status_code=204, tags=["Executions"])
async def delete_execution(request: AnyRequest, execution_id: FromPath[str]) -> None:
    """Delete an execution that has ended, with its files, logs and metrics unless `deleteStorage` … are false."""
    call = Call(request)
    execution = await call.api.reader.head(call.tenant_id, execution_id)
    await command.give(call.api, deletion(call), execution)
    if call.query.flag("deleteStorage", default=True):
        await delete_files(call, execution)


def deletion(call: Call) -> Command:
    """Return the command to delete, as the query says."""
    return command.delete(
        include_running=call.query.flag("includeNonTerminated"),
        logs=call.query.flag("deleteLogs", default=True),
        metrics=call.query.flag("deleteMetrics", default=True),
    )


async def delete_files(call: Call, execution: Execution) -> None:
    """Delete what an execution has stored."""
    folder = uris.execution(execution.namespace, execution.flow_id, execution.id)
    await call.api.storage.delete_by_prefix(execution.tenant_id, folder)


HANDLERS: Final[list[Any]] = [
    kill_execution,
    pause_execution,
    resume_execution,
    validate_resume,
    restart_execution,
    replay_execution,
    replay_with_inputs,
    set_task_run_state,
    change_status,
    set_labels,
    force_run,
    unqueue,
    resume_from_breakpoint,
    delete_execution,
]
