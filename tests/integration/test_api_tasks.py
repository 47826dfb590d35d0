"""Tasks that ask the API: purges, counts, logs of executions, resuming, toggling; on services in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.api_stage import Stage, running
from tests.patience import until
from tiercel.client.http import HttpApiClient
from tiercel.errors import Conflict, NotFound, OperatorError, Unavailable
from tiercel.expression import ion
from tiercel.messages.history import LogBatch
from tiercel.model.execution import LogEntry
from tiercel.model.state import State
from tiercel.repository.base import HistoryBatch
from tiercel.worker.single import Bench, RunOutcome

QUICK = """
id: quick
namespace: company.team
tasks:
  - id: group
    type: io.kestra.plugin.core.flow.Sequential
    tasks:
      - {id: label, type: io.kestra.plugin.core.execution.Labels, labels: {done: "yes"}}
"""
PAUSE = """
id: paused
namespace: company.team
tasks:
  - id: wait
    type: io.kestra.plugin.core.flow.Pause
    onResume:
      - {id: reason, type: STRING}
      - {id: count, type: INT}
"""
VARIABLES = {"flow": {"namespace": "company.team", "id": "own"}, "execution": {"id": "none"}}
SINCE = "{{ now() | dateAdd(-1, 'DAYS') }}"
UNTIL = "{{ now() | dateAdd(1, 'DAYS') }}"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path, follow_wait_s=0.05)
    async with running(stage):
        for flow in (QUICK, PAUSE):
            await stage.call("POST", "flows", content=flow)
        yield stage
    await stage.close()


@pytest.fixture
def bench(stage: Stage) -> Bench:
    transport = httpx.ASGITransport(app=stage.app, raise_app_exceptions=False)
    return Bench(stage.storage, api=HttpApiClient("http://tiercel", transport=transport))


async def run(bench: Bench, kind: str, **properties: Any) -> RunOutcome:
    return await bench.run({"id": "task", "type": f"io.kestra.plugin.{kind}", **properties}, VARIABLES)


async def executed(stage: Stage, flow: str = "quick") -> str:
    """Run a flow until it rests and history has it."""
    id_ = str((await stage.call("POST", f"executions/company.team/{flow}?wait=true"))["id"])
    await until(lambda: stage.repository.execution("main", id_), f"history to have '{id_}'")
    return id_


async def wrote(stage: Stage, *lines: LogEntry) -> None:
    await stage.repository.write(HistoryBatch(logs=[LogBatch(producer="p", sequence=1, entries=lines)]))


def line(stage: Stage, message: str, **fields: Any) -> LogEntry:
    at = stage.adapters.clock.now()
    return LogEntry(
        **{"namespace": "company.team", "flow_id": "quick", "level": "INFO", "timestamp": at, "message": message}
        | fields
    )


async def test_executions_are_purged_with_what_belongs_to_them(stage: Stage, bench: Bench) -> None:
    """All that have ended, in batches; the one that waits stays, and a second purge finds nothing."""
    ended = [await executed(stage) for _ in range(3)]
    waiting = await executed(stage, "paused")
    await stage.storage.put("main", f"/company/team/quick/executions/{ended[0]}/inputs/a.txt", b"x")
    await wrote(stage, line(stage, "of it", execution_id=ended[0]))

    purge = {"namespace": "company", "endDate": UNTIL, "batchSize": 2}
    first = await run(bench, "core.execution.PurgeExecutions", **purge)

    assert (3, 1, 1) == tuple(first.outputs[name] for name in ("executionsCount", "logsCount", "storagesCount"))

    async def is_purged() -> bool:
        return not await stage.repository.executions("main", ended)

    await until(is_purged, "history to lose what is purged")
    assert 0 == (await run(bench, "core.execution.PurgeExecutions", **purge)).outputs["executionsCount"]
    assert await stage.repository.execution("main", waiting) is not None


async def test_an_id_of_a_flow_alone_is_not_enough_to_purge(bench: Bench) -> None:
    """Flows of different namespaces may have the same one."""
    outcome = await run(bench, "core.execution.PurgeExecutions", flowId="quick", endDate=UNTIL)

    assert outcome.state is State.FAILED
    assert "'namespace' must be set" in (outcome.error or "")


async def test_logs_are_purged_by_kind_and_level(stage: Stage, bench: Bench) -> None:
    """Lines of executions and of triggers are counted on their own."""
    await wrote(
        stage,
        *(line(stage, str(at), execution_id="e") for at in range(5)),
        line(stage, "debug", level="DEBUG", execution_id="e"),
        line(stage, "trigger", trigger_id="t"),
    )

    outcome = await run(bench, "core.log.PurgeLogs", endDate=UNTIL, logLevels=["INFO"], batchSize=2)

    assert {"count": 6, "executionLogsCount": 5, "nonExecutionLogsCount": 1} == outcome.outputs


async def test_logs_of_one_execution_are_purged(stage: Stage, bench: Bench) -> None:
    """Those of others stay."""
    await wrote(stage, line(stage, "a", execution_id="e"), line(stage, "b", execution_id="f"))

    outcome = await run(bench, "core.log.PurgeLogs", endDate=UNTIL, executionId="e")

    assert 1 == outcome.outputs["count"]


async def test_the_log_of_an_execution_becomes_a_file(stage: Stage, bench: Bench) -> None:
    """From the least level on, of the named tasks only."""
    await wrote(
        stage,
        line(stage, "low", level="DEBUG", execution_id="e", task_id="a"),
        line(stage, "kept", execution_id="e", task_id="a"),
        line(stage, "other", execution_id="e", task_id="b"),
    )

    outcome = await run(bench, "core.log.Fetch", executionId="e", tasksId=["a"])

    rows = ion.loads(await stage.storage.read("main", outcome.outputs["uri"]))
    assert 1 == outcome.outputs["size"]
    assert ["kept"] == [row["message"] for row in rows]


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"namespace": "a", "flowId": "b"}, "set 'executionId' too"),
        ({"namespace": "a", "executionId": "c"}, "Both 'namespace' and 'flowId'"),
    ],
)
async def test_an_execution_is_named_whole(bench: Bench, properties: dict[str, str], message: str) -> None:
    """A flow without an id names none, and an id of another flow needs both names."""
    outcome = await run(bench, "core.log.Fetch", **properties)

    assert message in (outcome.error or "")


async def test_executions_are_counted_by_flow(stage: Stage, bench: Bench) -> None:
    """The counts for which the expression is true are kept."""
    await executed(stage)
    await executed(stage)

    outcome = await run(
        bench,
        "core.execution.Count",
        flows=[{"namespace": "company.team", "flowId": name} for name in ("quick", "never")],
        startDate=SINCE,
        expression="{{ count >= 1 }}",
    )
    newer = await run(bench, "kestra.executions.Count", states=["FAILED"], startDate=SINCE)

    assert {"results": [{"namespace": "company.team", "flowId": "quick", "count": 2}], "total": 2} == outcome.outputs
    assert {"count": 0} == newer.outputs


async def test_a_paused_execution_is_resumed_with_inputs(stage: Stage, bench: Bench) -> None:
    """They are typed as its pause says; one that is not paused fails the task."""
    waiting = await executed(stage, "paused")

    outcome = await run(bench, "core.execution.Resume", executionId=waiting, inputs={"reason": "ok", "count": 3})
    again = await run(bench, "core.execution.Resume", executionId=waiting)

    assert (State.SUCCESS, None) == (outcome.state, outcome.error)
    assert State.FAILED is again.state
    assert "expected PAUSED" in (again.error or "")


async def test_a_trigger_that_does_not_exist_cannot_be_toggled(bench: Bench) -> None:
    """The sentence names it."""
    outcome = await run(bench, "core.trigger.Toggle", trigger="nope")

    assert "company.team/own/nope" in (outcome.error or "")


async def test_a_namespace_that_does_not_exist_is_not_written_to(bench: Bench) -> None:
    """A flow's own and those above it exist, and those with flows; a mistyped one does not."""
    assert (await run(bench, "core.kv.Set", key="k", value="v", namespace="company")).error is None

    outcome = await run(bench, "core.kv.Set", key="k", value="v", namespace="compnay.team")

    assert "'compnay.team' does not exist" in (outcome.error or "")


async def test_earlier_revisions_of_flows_are_purged(stage: Stage, bench: Bench) -> None:
    """Those of flows that the pattern means; the newest stay."""
    for number in range(3):
        await stage.call("PUT", "flows/company.team/quick", content=f"{QUICK}description: v{number}\n")
    await stage.call("PUT", "flows/company.team/paused", content=f"{PAUSE}description: v\n")

    other = await run(bench, "core.flow.PurgeFlows", namespaces=["nothing"])
    purged = await run(
        bench,
        "core.flow.PurgeFlows",
        namespaces=["company"],
        flowPattern="q*",
        behavior={"type": "version", "keepAmount": 2},
    )

    assert ({"size": 0}, {"size": 2}) == (other.outputs, purged.outputs)
    quick = await stage.call("GET", "flows/company.team/quick/revisions")
    pause = await stage.call("GET", "flows/company.team/paused/revisions")
    assert ([3, 4], [1, 2]) == ([row["revision"] for row in quick], [row["revision"] for row in pause])


async def test_errors_of_the_api_are_told_apart(stage: Stage, bench: Bench) -> None:
    """What is missing, what is in the wrong state, who is not let in, and who does not answer."""
    api = bench.context(VARIABLES).api()
    with pytest.raises(NotFound, match="nope"):
        await api.call("GET", "executions/nope")
    ended = await executed(stage)
    with pytest.raises(Conflict, match="expected PAUSED"):
        await api.call("POST", f"executions/{ended}/actions/resume")

    closed = Stage(Path(str(stage.storage._base)), username="u", password="p")
    transport = httpx.ASGITransport(app=closed.app, raise_app_exceptions=False)
    with pytest.raises(OperatorError, match=r"api\.username"):
        await HttpApiClient("http://tiercel", transport=transport).of("main").call("GET", "namespaces")
    with pytest.raises(Unavailable, match=r"api\.url"):
        await HttpApiClient("http://127.0.0.1:1").of("main").call("GET", "namespaces")
