"""Reviews: the decision of a person that an Approval waits for."""

from __future__ import annotations

from typing import Any, Final

from litestar import Response, post
from litestar.params import FromPath

from tiercel.errors import Conflict, Refused
from tiercel.model.execution import Execution, TaskRun
from tiercel.model.flow import Flow
from tiercel.model.state import State
from tiercel.plugins.core.flow.approval import Approval, CommentRequired, Decision
from tiercel.webserver import command, evaluation, inputs, multipart
from tiercel.webserver.context import Call
from tiercel.webserver.handlers.actions import all_tasks, flow_of, obeyed, read_form
from tiercel.webserver.problem import BadQuery
from tiercel.webserver.request import AnyRequest

_DECIDED: Final = (Decision.APPROVED, Decision.DENIED)
_NEEDED: Final = {
    CommentRequired.ALWAYS: frozenset(_DECIDED),
    CommentRequired.ON_APPROVE: frozenset({Decision.APPROVED}),
    CommentRequired.ON_DENY: frozenset({Decision.DENIED}),
}


@post("/api/v1/executions/{execution_id:str}/actions/review", status_code=200, tags=["Executions"])
async def review_execution(request: AnyRequest, execution_id: FromPath[str]) -> Response[Any]:
    """Approve or deny (`decision`) what an Approval asks for: that of `taskRunId`, or the first that waits."""
    call = Call(request)
    decision, comment = _decision(call.query.one("decision")), call.query.one("comment")
    execution = await call.api.reader.head(call.tenant_id, execution_id)
    flow = await flow_of(call, execution)
    run, task = await _waiting(call, execution, flow)
    if not (comment or "").strip() and decision in _NEEDED.get(await _comment(call, execution, flow, task), ()):
        raise Refused(f"The approval '{task.id}' asks for a comment: add '&comment=…' to the URL.")
    typed = None
    if task.inputs:
        with multipart.form() as form:
            await read_form(request, form, call.api.settings.text_part_max)
            given = await inputs.stored(call.api, flow, execution.id, task.inputs, form)
            typed = await inputs.typed_values(call.api, flow, execution.id, task.inputs, given)
    return await obeyed(call, execution_id, command.review(decision, run.id, comment, typed))


def _decision(text: str | None) -> Decision:
    known = ", ".join(_DECIDED)
    if text is None:
        raise BadQuery(f"Required QueryValue [decision] not specified; add '?decision=…' to the URL: {known}.")
    if text not in _DECIDED:
        raise Refused(f"'{text}' is not a decision; use one of {known}.")
    return Decision(text)


async def _waiting(call: Call, execution: Execution, flow: Flow) -> tuple[TaskRun, Approval]:
    """Return the task run of an approval that waits, and its task; raise Conflict when there is none."""
    wanted = call.query.one("taskRunId")
    view = await call.api.reader.view(call.tenant_id, execution.id)
    tasks = {task.id: task for task in all_tasks(flow)}
    for run in view.runs:
        task = tasks.get(run.task_id)
        if run.state is State.PAUSED and isinstance(task, Approval) and wanted in (None, run.id):
            return run, task
    which = "no approval" if wanted is None else f"the task run '{wanted}' is no approval that"
    raise Conflict(f"Cannot review execution: {which} waits for a decision.")


async def _comment(call: Call, execution: Execution, flow: Flow, task: Approval) -> CommentRequired:
    view = await call.api.reader.view(call.tenant_id, execution.id)
    found = await evaluation.evaluated(call.api, flow, view, None, str(task.comment_required))
    text = str(found["result"] or "").strip() or CommentRequired.NEVER
    if found["error"] is not None or text not in list(CommentRequired):
        raise Refused(f"'commentRequired' of the approval '{task.id}' is '{found['error'] or text}'; correct the flow.")
    return CommentRequired(text)


HANDLERS: Final[list[Any]] = [review_execution]
