"""Live streams: an execution, those that depend on it, and its log lines."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from typing import Any, Final

from litestar import get
from litestar.params import FromPath
from litestar.response import Stream

from tiercel.errors import NotFound
from tiercel.model.execution import Execution, LogEntry
from tiercel.model.execution_json import state_json
from tiercel.repository.base import Page
from tiercel.repository.filter import Field, Filter, Op
from tiercel.webserver import sse
from tiercel.webserver.context import Call
from tiercel.webserver.follower import Watch
from tiercel.webserver.handlers.logs import all_lines, filters_of, line_json
from tiercel.webserver.request import AnyRequest

LOG_INTERVAL_S: Final = 0.25
"""Lines are looked for this often while an execution runs: they come through the indexer."""
LOG_GRACE: Final = 8
"""Looks after the end that must find nothing before the stream of lines ends."""
AT_ONCE_S: Final = 0.05
"""An execution that takes longer to read and write is a wide one."""
REST: Final = 10
"""How many times as long the followers of a wide one wait for the next: each reading is a load."""
DEPENDENTS_MAX: Final = 1000
"""Executions that one follower is told of; one that starts more is not followed by eye."""
REREAD_S: Final = 1.0
"""Which executions depend on one is asked this often: an execution that was started anew is announced to nobody."""
LATE: Final = timedelta(seconds=3)
"""Lines of several processes come in the order of their batches: earlier ones may follow later ones by this much."""


@get("/api/v1/executions/{execution_id:str}/follow", tags=["Executions"])
async def follow_execution(request: AnyRequest, execution_id: FromPath[str]) -> Stream:
    """Stream an execution: `start`, then `progress` at each change, and `end` with its last state."""
    call = Call(request)
    await awaited(call, execution_id)
    return sse.stream(_changes(call, execution_id), call.api.draining)


async def awaited(call: Call, execution_id: str) -> Execution:
    """Return an execution, waiting for one that has not been created yet."""
    try:
        return await call.api.reader.head(call.tenant_id, execution_id)
    except NotFound:
        known = await call.api.followers.until(
            execution_id, lambda version: version is not None, call.api.settings.follow_wait_s
        )
        if not known:
            raise
        return await call.api.reader.head(call.tenant_id, execution_id)


async def _changes(call: Call, execution_id: str) -> AsyncGenerator[bytes]:
    api, name = call.api, "start"
    with api.followers.watch(execution_id) as watch:
        while True:
            began = time.perf_counter()
            view = await api.reader.view(call.tenant_id, execution_id)
            shown = await view.shown(api.clock)
            spent = time.perf_counter() - began
            if name == "start" or not view.execution.state.is_terminated:
                yield sse.event(name, shown)
            if view.execution.state.is_terminated:
                yield sse.event("end", shown)
                return
            name = "progress"
            watch.tell(execution_id, (view.execution.version, view.execution.state))
            if spent > AT_ONCE_S:
                await watch.rest(execution_id, spent * REST)
            while not await _news(watch, execution_id, view.execution.version):
                yield sse.KEEP_ALIVE


async def _news(watch: Watch, execution_id: str, version: int) -> bool:
    """Wait for a version after this one; False when nothing was said for a while."""
    while True:
        known = watch.known.get(execution_id)
        if known is not None and known[0] > version:
            return True
        if not await watch.changed(sse.KEEP_ALIVE_S):
            return False


@get("/api/v1/executions/{execution_id:str}/follow-dependencies", tags=["Executions"])
async def follow_dependencies(request: AnyRequest, execution_id: FromPath[str]) -> Stream:
    """Stream the states of an execution and of those that it started or was started by, until all have ended."""
    call = Call(request)
    execution = await awaited(call, execution_id)
    expand, down = call.query.flag("expandAll"), call.query.flag("destinationOnly")
    return sse.stream(_dependents(call, execution, expand, down), call.api.draining)


async def _dependents(call: Call, root: Execution, expand: bool, down_only: bool) -> AsyncGenerator[bytes]:
    yield sse.event("start", {"executionId": root.id})
    told: dict[str, int] = {}
    ended: set[str] = set()
    while True:
        related = await _related(call, root, expand, down_only)
        for execution in related:
            if execution.id in ended or told.get(execution.id) == execution.version:
                continue
            told[execution.id] = execution.version
            name = "end" if execution.state.is_terminated else "progress"
            if name == "end":
                ended.add(execution.id)
            yield sse.event(name, _status(call, execution))
        if len(ended) == len(related):
            break
        with call.api.followers.watch(*(each.id for each in related if each.id not in ended)) as watch:
            await watch.changed(REREAD_S)  # news wakes it; what was started anew has no watch yet
    yield sse.event("end-all", {"executionId": root.id})


async def _related(call: Call, root: Execution, expand: bool, down_only: bool) -> list[Execution]:
    """Return the execution, those that it started and, unless `down_only`, those that it was started by."""
    found = {root.id: await call.api.reader.head(call.tenant_id, root.id)}
    above = _starter(root)
    while above is not None and not down_only and above not in found:
        heads = await call.api.reader.heads(call.tenant_id, [above])
        if above not in heads:
            break
        found[above] = heads[above]
        above = _starter(heads[above]) if expand else None
    waiting = list(found) if expand else [root.id]
    while waiting and len(found) < DEPENDENTS_MAX:
        below = await _started_by(call, waiting.pop())
        new = [each for each in below if each.id not in found]
        found |= {each.id: each for each in new}
        if expand:
            waiting += [each.id for each in new]
    return list(found.values())


def _starter(execution: Execution) -> str | None:
    above = execution.trigger.variables.get("executionId") if execution.trigger is not None else None
    return above if isinstance(above, str) else None


async def _started_by(call: Call, execution_id: str) -> list[Execution]:
    wanted = [
        Filter(field=Field.TRIGGER_EXECUTION_ID, value=execution_id),
        Filter(field=Field.KIND, op=Op.IN, value=("NORMAL", "TEST", "PLAYGROUND", "LOOP")),
    ]
    page = Page(size=DEPENDENTS_MAX, total=False)
    found = await call.api.repository.search(call.tenant_id, wanted, page)
    now = await call.api.reader.heads(call.tenant_id, [each.id for each in found.results])
    return list(now.values())


def _status(call: Call, execution: Execution) -> dict[str, Any]:
    return {
        "executionId": execution.id,
        "tenantId": execution.tenant_id,
        "namespace": execution.namespace,
        "flowId": execution.flow_id,
        "revision": execution.flow_revision,
        "state": state_json(execution.state, execution.history, now=call.api.clock.now()),
    }


@get("/api/v1/logs/{execution_id:str}/follow", tags=["Logs"])
async def follow_logs(request: AnyRequest, execution_id: FromPath[str]) -> Stream:
    """Stream the log lines of an execution: those that are there, then new ones, until it has ended."""
    call = Call(request)
    await awaited(call, execution_id)
    return sse.stream(_lines(call, execution_id), call.api.draining)


async def _lines(call: Call, execution_id: str) -> AsyncGenerator[bytes]:
    api, wanted, quiet = call.api, filters_of(call, execution_id), 0
    yield sse.event("start", {})
    told: Counter[LogEntry] = Counter()
    since: datetime | None = None
    while quiet < LOG_GRACE:
        recent: Counter[LogEntry] = Counter()
        is_quiet = True
        async for lines in all_lines(call, [*wanted, *_after(since)]):
            for line in lines:
                recent[line] += 1
                if recent[line] > told[line]:
                    is_quiet = False
                    yield sse.event("progress", line_json(line))
            if lines:
                since = lines[-1].timestamp - LATE
        told = recent
        head = await api.reader.heads(call.tenant_id, [execution_id])
        over = execution_id not in head or head[execution_id].state.is_terminated
        quiet = quiet + 1 if over and is_quiet else 0
        await api.clock.sleep(LOG_INTERVAL_S)  # lines come through the indexer, which announces none
    yield sse.event("end", {})


def _after(since: datetime | None) -> list[Filter]:
    if since is None:
        return []
    return [Filter(field=Field.START_DATE, op=Op.GREATER_THAN_OR_EQUAL_TO, value=since)]


HANDLERS: Final[list[Any]] = [follow_execution, follow_dependencies, follow_logs]
