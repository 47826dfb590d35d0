"""What every repository promises."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from tiercel.errors import Refused
from tiercel.messages.history import ExecutionDeleted, LogBatch, MetricBatch
from tiercel.model import ids
from tiercel.model.execution import (
    Execution,
    ExecutionKind,
    LogEntry,
    MetricEntry,
    OutputRef,
    TaskRun,
    TriggerInfo,
)
from tiercel.model.state import State, StateChange
from tiercel.repository.base import Belongings, ExecutionChange, HistoryBatch, Page, Repository, RunChange, Sort
from tiercel.repository.filter import Field, Filter, Op

NOW = datetime.now(UTC).replace(microsecond=0)


def execution(at: datetime = NOW, state: State = State.RUNNING, version: int = 1, **fields: Any) -> Execution:
    history = [StateChange(State.CREATED, at)]
    if state is not State.CREATED:
        history.append(StateChange(state, at + timedelta(seconds=version)))
    values: dict[str, Any] = {"id": ids.new_id(at), "namespace": "company.team", "flow_id": "hello", "flow_revision": 1}
    return Execution(state=state, history=tuple(history), version=version, **{**values, **fields})


def task_run(seq: int, state: State = State.RUNNING, **fields: Any) -> TaskRun:
    return TaskRun(
        id=f"run-{seq}", seq=seq, task_id=f"task-{seq}", state=state, history=(StateChange(state, NOW),), **fields
    )


def batch(*changes: Execution, runs: dict[int, RunChange] | None = None) -> HistoryBatch:
    return HistoryBatch(executions={e.id: ExecutionChange(execution=e, runs=runs or {}) for e in changes})


def line(message: str, at: datetime = NOW, **fields: Any) -> LogEntry:
    values: dict[str, Any] = {"namespace": "company.team", "flow_id": "hello", "level": "INFO"}
    return LogEntry(message=message, timestamp=at, **{**values, **fields})


def metric(name: str, value: float, at: datetime = NOW, **fields: Any) -> MetricEntry:
    values: dict[str, Any] = {
        "namespace": "company.team",
        "flow_id": "hello",
        "execution_id": "e",
        "task_id": "t",
        "task_run_id": "r",
        "type": "counter",
    }
    return MetricEntry(name=name, value=value, timestamp=at, **{**values, **fields})


async def found(repository: Repository, *filters: Filter, **page: Any) -> list[str]:
    result = await repository.search("main", filters, Page(**{"size": 100, **page}))
    return [each.id for each in result.results]


async def test_what_is_written_can_be_read(repository: Repository) -> None:
    """An execution, its runs and their outputs come back as they were."""
    one = execution(inputs={"a": 1}, labels=(("team", "data"),))
    ref = OutputRef(size=9, value={"x": [1, "ü"]})
    runs = {seq: RunChange(version=1, run=task_run(seq), output=ref if seq else None) for seq in (1, 0)}

    await repository.write(batch(one, runs=runs))

    assert one == await repository.execution("main", one.id)
    assert [task_run(0), task_run(1)] == await repository.runs("main", one.id)
    assert {1: ref} == await repository.outputs("main", one.id)
    assert {} == await repository.outputs("main", one.id, [0])


async def test_another_tenant_sees_nothing(repository: Repository) -> None:
    """The tenant is a part of every key."""
    one = execution()

    await repository.write(batch(one, runs={0: RunChange(version=1, run=task_run(0))}))

    assert await repository.execution("other", one.id) is None
    assert [] == await repository.runs("other", one.id)
    assert [] == (await repository.search("other", [], Page())).results


async def test_an_older_version_changes_nothing(repository: Repository) -> None:
    """The last version wins, whatever the order of arrival; its task runs too."""
    old = execution()
    new = msgspec.structs.replace(old, state=State.SUCCESS, version=3)

    await repository.write(batch(new, runs={0: RunChange(version=3, run=task_run(0, State.SUCCESS))}))
    await repository.write(
        batch(old, runs={0: RunChange(version=1, run=task_run(0)), 1: RunChange(version=1, run=task_run(1))})
    )

    assert new == await repository.execution("main", old.id)
    assert [task_run(0, State.SUCCESS)] == await repository.runs("main", old.id)


async def test_a_newer_version_replaces_and_removes(repository: Repository) -> None:
    """A run that no longer belongs to the execution is gone with its output; another one keeps its output."""
    one = execution()
    ref = OutputRef(size=2, value={})
    await repository.write(batch(one, runs={s: RunChange(version=1, run=task_run(s), output=ref) for s in (0, 1)}))

    two = msgspec.structs.replace(one, version=2)
    await repository.write(
        batch(two, runs={0: RunChange(version=2, run=task_run(0, State.FAILED)), 1: RunChange(version=2)})
    )

    assert [task_run(0, State.FAILED)] == await repository.runs("main", one.id)
    assert {0: ref} == await repository.outputs("main", one.id)


async def test_confirmed_tells_the_stored_versions(repository: Repository) -> None:
    """Executions that are not stored are left out, whatever the tenant."""
    one, two = execution(version=7), execution(version=2, tenant_id="other")

    await repository.write(batch(one, two))

    assert {one.id: 7, two.id: 2} == await repository.confirmed([one.id, two.id, ids.new_id()])


async def test_a_repeated_batch_of_logs_is_written_once(repository: Repository) -> None:
    """Batches are known by producer and sequence, within one write and over several."""
    logs = LogBatch(producer="worker-1", sequence=5, entries=(line("a"), line("b")))
    other = LogBatch(producer="worker-2", sequence=5, entries=(line("c", NOW + timedelta(seconds=1)),))

    await repository.write(HistoryBatch(logs=[logs, logs]))
    await repository.write(HistoryBatch(logs=[logs, other]))

    result = await repository.logs("main", [], Page(size=10))
    assert ["a", "b", "c"] == [entry.message for entry in result.results]
    assert 3 == result.total


async def test_log_lines_come_back_as_they_were(repository: Repository) -> None:
    """All fields are kept, microseconds too; a NUL letter, which no table can hold, becomes the replacement letter."""
    full = line(
        "whole",
        NOW + timedelta(microseconds=123456),
        execution_id="e",
        task_id="t",
        task_run_id="r",
        attempt_number=2,
        thread="worker",
    )

    await repository.write(HistoryBatch(logs=[LogBatch(producer="p", sequence=1, entries=(full, line("a\x00b")))]))

    result = await repository.logs("main", [Filter(field=Field.EXECUTION_ID, value="e")], Page())
    assert [full] == result.results


async def test_logs_are_filtered(repository: Repository) -> None:
    """By level (at least), execution, task, attempt, namespace with everything below it, time and text."""
    entries = (
        line("start", execution_id="e1", task_id="a", task_run_id="r1", attempt_number=1),
        line(
            "Failed hard", NOW + timedelta(seconds=1), level="ERROR", execution_id="e1", task_id="b", attempt_number=2
        ),
        line("fine", NOW + timedelta(seconds=2), level="WARN", namespace="company", trigger_id="cron"),
        line("away", NOW + timedelta(seconds=3), level="DEBUG", namespace="companyx"),
    )
    await repository.write(HistoryBatch(logs=[LogBatch(producer="p", sequence=1, entries=entries)]))

    async def messages(field: Field, value: Any, op: Op = Op.EQUALS) -> list[str]:
        result = await repository.logs("main", [Filter(field=field, op=op, value=value)], Page(size=10))
        return [entry.message for entry in result.results]

    assert ["Failed hard", "fine"] == await messages(Field.MIN_LEVEL, "WARN")
    assert ["start", "Failed hard"] == await messages(Field.EXECUTION_ID, "e1")
    assert ["Failed hard"] == await messages(Field.TASK_ID, "b")
    assert ["start"] == await messages(Field.TASK_RUN_ID, "r1")
    assert ["Failed hard"] == await messages(Field.ATTEMPT_NUMBER, "2")
    assert ["fine"] == await messages(Field.TRIGGER_ID, "cron")
    assert ["start", "Failed hard", "fine"] == await messages(Field.NAMESPACE, "company", Op.PREFIX)
    assert ["Failed hard"] == await messages(Field.QUERY, "failed")
    assert ["fine", "away"] == await messages(Field.START_DATE, NOW + timedelta(seconds=2), Op.GREATER_THAN_OR_EQUAL_TO)
    assert 1 == await repository.delete_logs("main", [Filter(field=Field.TASK_ID, value="b")])
    assert ["start"] == await messages(Field.EXECUTION_ID, "e1")


async def test_executions_are_filtered(repository: Repository) -> None:
    """Every filter of the API, alone."""
    trigger = TriggerInfo(id="t", type="Subflow", variables={"executionId": "parent-1"})
    one = execution(NOW, State.SUCCESS, labels=(("team", "data"), ("a:b", "c,d")))
    two = execution(NOW + timedelta(seconds=10), State.FAILED, namespace="company.team.sub", trigger=trigger)
    three = execution(NOW + timedelta(seconds=20), namespace="company.teamx", flow_id="other", parent_id=one.id)
    test = execution(NOW + timedelta(seconds=30), kind=ExecutionKind.TEST)
    system = execution(NOW + timedelta(seconds=40), namespace="system")
    await repository.write(batch(one, two, three, test, system))

    async def hits(field: Field, value: Any, op: Op = Op.EQUALS) -> list[str]:
        return await found(repository, Filter(field=field, op=op, value=value))

    assert [system.id, three.id, two.id, one.id] == await found(repository)
    assert [two.id, one.id] == await hits(Field.NAMESPACE, "company.team", Op.PREFIX)
    assert [one.id] == await hits(Field.NAMESPACE, "company.team")
    assert [three.id] == await hits(Field.FLOW_ID, "other")
    assert [two.id, one.id] == await hits(Field.STATE, ("FAILED", "SUCCESS"), Op.IN)
    assert [system.id, three.id] == await hits(Field.STATE, ("FAILED", "SUCCESS"), Op.NOT_IN)
    assert [one.id] == await hits(Field.LABELS, ("team", "data"))
    assert [one.id] == await hits(Field.LABELS, ("a:b", "c,d"))
    assert [system.id, three.id, two.id] == await hits(Field.LABELS, ("team", "data"), Op.NOT_EQUALS)
    assert [two.id] == await hits(Field.TRIGGER_EXECUTION_ID, "parent-1")
    assert [two.id] == await hits(Field.CHILD_FILTER, "CHILD")
    assert [system.id, three.id, one.id] == await hits(Field.CHILD_FILTER, "MAIN")
    assert [test.id] == await hits(Field.KIND, "TEST")
    assert [three.id] == await hits(Field.PARENT_ID, one.id)
    assert [system.id] == await hits(Field.SCOPE, ("SYSTEM",))
    assert [three.id] == await hits(Field.QUERY, "OTHER")
    assert [two.id] == await hits(Field.QUERY, two.id)
    assert [system.id, three.id, two.id] == await hits(
        Field.START_DATE, NOW + timedelta(seconds=10), Op.GREATER_THAN_OR_EQUAL_TO
    )
    assert [two.id, one.id] == await hits(Field.END_DATE, NOW + timedelta(hours=1), Op.LESS_THAN_OR_EQUAL_TO)


async def test_a_label_may_be_an_executions_own_id(repository: Repository) -> None:
    """The correlation id is found on the execution that it names and on those that inherit it."""
    one = execution(id=(own := ids.new_id(NOW)), labels=(("system.correlationId", own),))
    two = execution(NOW + timedelta(seconds=1), labels=(("system.correlationId", own),))
    await repository.write(batch(one, two))

    assert [two.id, one.id] == await found(repository, Filter(field=Field.LABELS, value=("system.correlationId", own)))


async def test_pages_follow_each_other(repository: Repository) -> None:
    """By number or by cursor, in any order, nothing is skipped or repeated; the total counts all."""
    all_ = [execution(NOW + timedelta(seconds=n // 2), flow_id=f"flow-{n % 3}") for n in range(7)]
    await repository.write(batch(*all_))

    for sort in ((), (Sort(field="flowId"),), (Sort(field="state.startDate"),)):
        numbers = [await found(repository, number=n, size=3, sort=sort) for n in (1, 2, 3)]
        cursors: list[list[str]] = []
        cursor = None
        while cursor is not None or not cursors:
            page = await repository.search("main", [], Page(size=3, sort=sort, cursor=cursor))
            cursors.append([each.id for each in page.results])
            cursor = page.cursor
            assert 7 == page.total
        assert numbers == cursors
        assert sorted(each.id for each in all_) == sorted(id_ for page in numbers for id_ in page)


@pytest.mark.parametrize("cursor", ["-1", "abc", "\u00b2", "9" * 30, "1.x", "1."])
async def test_a_cursor_that_no_answer_held_is_refused(repository: Repository, cursor: str) -> None:
    """In every list that has pages of its own making."""
    for listed in (repository.logs, repository.metrics):
        with pytest.raises(Refused, match="is not a cursor of this list"):
            await listed("main", [], Page(cursor=cursor))


async def test_latest_is_the_last_execution_of_each_flow(repository: Repository) -> None:
    """Flows without executions are left out."""
    old, new = execution(NOW), execution(NOW + timedelta(seconds=1), State.FAILED)
    await repository.write(batch(old, new))

    last = await repository.latest("main", [("company.team", "hello"), ("company.team", "none")])
    running = await repository.latest("main", [("company.team", "hello")], [State.RUNNING])

    assert [new.id] == [each.execution.id for each in last]
    assert [old.id] == [each.execution.id for each in running]


async def test_a_deleted_execution_takes_what_belongs_to_it(repository: Repository) -> None:
    """Logs and metrics stay when asked for."""
    one, two = execution(), execution()
    logs = [
        LogBatch(producer="p", sequence=n, entries=(line("x", execution_id=e.id),)) for n, e in enumerate((one, two))
    ]
    metrics = [MetricBatch(producer="m", sequence=1, entries=(metric("n", 1, execution_id=one.id),))]
    written = batch(one, two, runs={0: RunChange(version=1, run=task_run(0))})
    await repository.write(msgspec.structs.replace(written, logs=logs, metrics=metrics))

    gone = {one.id: ExecutionDeleted(execution_id=one.id), two.id: ExecutionDeleted(execution_id=two.id, logs=False)}
    await repository.write(HistoryBatch(deleted=gone))

    assert {} == await repository.executions("main", [one.id, two.id])
    assert [] == await repository.runs("main", one.id)
    assert [two.id] == [entry.execution_id for entry in (await repository.logs("main", [], Page())).results]
    assert [] == (await repository.metrics("main", [], Page())).results


async def test_the_iterations_of_a_deleted_execution_go_with_it(repository: Repository) -> None:
    """At any depth, with what belongs to them; subflows are executions in their own right and stay."""
    root = execution()
    child = execution(parent_id=root.id, kind=ExecutionKind.LOOP)
    grandchild = execution(parent_id=child.id, kind=ExecutionKind.LOOP)
    subflow = execution(parent_id=root.id)
    family = (root, child, grandchild, subflow)
    logs = [LogBatch(producer="p", sequence=n, entries=(line("x", execution_id=e.id),)) for n, e in enumerate(family)]
    written = batch(*family, runs={0: RunChange(version=1, run=task_run(0))})
    await repository.write(msgspec.structs.replace(written, logs=logs))

    await repository.write(HistoryBatch(deleted={root.id: ExecutionDeleted(execution_id=root.id)}))

    assert [subflow.id] == list(await repository.executions("main", [one.id for one in family]))
    assert [] == await repository.runs("main", grandchild.id)
    assert [subflow.id] == [entry.execution_id for entry in (await repository.logs("main", [], Page())).results]


async def test_metrics_are_listed_and_aggregated(repository: Repository) -> None:
    """By flow, task and name, and summed per stretch of time."""
    start = datetime.fromtimestamp(int(NOW.timestamp()) // 3600 * 3600, UTC)
    entries = (
        metric("rows", 2, start, tags={"k": "v"}),
        metric("rows", 3, start + timedelta(seconds=5)),
        metric("rows", 4, start + timedelta(seconds=70), task_id="u"),
        metric("time", 1.5, start),
    )
    await repository.write(HistoryBatch(metrics=[MetricBatch(producer="p", sequence=1, entries=entries)]))
    name = Filter(field=Field.NAME, value="rows")

    sums = await repository.metric_buckets("main", [name], "sum", 60)
    listed = await repository.metrics("main", [Filter(field=Field.TASK_ID, value="t"), name], Page())

    assert [(start, 5.0), (start + timedelta(seconds=60), 4.0)] == [(each.date, each.value) for each in sums]
    assert list(entries[:2]) == listed.results
    assert ["rows", "time"] == await repository.metric_names("main", "company.team", "hello")
    assert ["rows"] == await repository.metric_names("main", "company.team", "hello", "u")
    assert ["t", "u"] == await repository.metric_tasks("main", "company.team", "hello")


async def test_old_history_is_dropped(repository: Repository) -> None:
    """Whole weeks that ended before the instant; nothing newer."""
    long_ago = NOW - timedelta(days=60)
    old, new = execution(long_ago), execution(NOW)
    logs = [LogBatch(producer="p", sequence=1, entries=(line("old", long_ago), line("new", NOW)))]
    await repository.write(msgspec.structs.replace(batch(old, new), logs=logs))

    await repository.purge(NOW - timedelta(days=30))

    assert [new.id] == await found(repository)
    assert ["new"] == [entry.message for entry in (await repository.logs("main", [], Page())).results]


async def test_ids_of_another_form_are_kept(repository: Repository) -> None:
    """Executions may have any id; an id that carries no instant has its place too."""
    one = execution(id="my-own-id")

    await repository.write(batch(one))

    assert one == await repository.execution("main", "my-own-id")
    assert ["my-own-id"] == await found(repository)


async def test_log_lines_are_deleted_the_oldest_first(repository: Repository) -> None:
    """With a limit only so many; lines of executions and of nothing but triggers are told apart, levels by name."""
    lines = [line(str(at), NOW + timedelta(seconds=at), execution_id="e") for at in range(4)]
    lines += [line("trigger", trigger_id="t"), line("debug", level="DEBUG", execution_id="e")]
    await repository.write(HistoryBatch(logs=[LogBatch(producer="p", sequence=1, entries=tuple(lines))]))
    of_executions = Filter(field=Field.EXECUTION_ID, op=Op.NOT_EQUALS, value=None)
    info = Filter(field=Field.MIN_LEVEL, op=Op.IN, value=("INFO", "WARN"))

    assert 2 == await repository.delete_logs("main", [of_executions, info], 2)
    assert 2 == await repository.delete_logs("main", [of_executions, info], 10)
    assert 1 == await repository.delete_logs("main", [Filter(field=Field.EXECUTION_ID, value=None)])

    left = await repository.logs("main", [], Page())
    assert ["debug"] == [each.message for each in left.results]


async def test_executions_and_their_belongings_are_counted(repository: Repository) -> None:
    """A count is exact and knows the filters of searches; belongings are those of the named executions."""
    ran, failed = execution(state=State.SUCCESS), execution(state=State.FAILED)
    ref = OutputRef(size=2, value={})
    await repository.write(batch(ran, runs={0: RunChange(version=1, run=task_run(0), output=ref)}))
    await repository.write(batch(failed))
    entries = (line("a", execution_id=ran.id), line("b", execution_id=failed.id))
    measured = (metric("m", 1.0, execution_id=ran.id),)
    await repository.write(
        HistoryBatch(
            logs=[LogBatch(producer="p", sequence=1, entries=entries)],
            metrics=[MetricBatch(producer="p", sequence=2, entries=measured)],
        )
    )

    assert 2 == await repository.count("main", [Filter(field=Field.FLOW_ID, value="hello")])
    assert 1 == await repository.count("main", [Filter(field=Field.STATE, op=Op.IN, value=("FAILED",))])
    assert Belongings(logs=1, metrics=1, outputs=1) == await repository.belongings("main", [ran.id])
    assert 1 == await repository.delete_metrics("main", [Filter(field=Field.EXECUTION_ID, value=ran.id)])
