"""What filters mean for history in memory: whether an execution, a line, a measurement or a record matches one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tiercel.messages.history import AuditRecord
from tiercel.model.execution import Execution, LogEntry, MetricEntry
from tiercel.model.system import SYSTEM_NAMESPACE
from tiercel.repository.filter import Field, Filter, Op, level_rank, matches


def execution_matches(execution: Execution, filter_: Filter) -> bool:
    """Tell whether an execution matches."""
    op, value = filter_.op, filter_.value
    match filter_.field:
        case Field.QUERY:
            texts = (execution.id, execution.namespace, execution.flow_id, *(v for _, v in execution.labels))
            hit = any(matches(text, Op.CONTAINS, value) for text in texts)
            return hit is not (op is Op.NOT_EQUALS)
        case Field.SCOPE:
            system = execution.namespace == SYSTEM_NAMESPACE
            return any(system is (scope == "SYSTEM") for scope in value)
        case Field.LABELS:
            return (tuple(value) in execution.labels) is not (op is Op.NOT_EQUALS)
        case Field.CHILD_FILTER:
            return (_parent_of(execution) is not None) is (value == "CHILD")
        case _:
            return matches(_execution_value(execution, filter_.field), op, value)


def _execution_value(execution: Execution, field: Field) -> Any:
    match field:
        case Field.NAMESPACE:
            return execution.namespace
        case Field.FLOW_ID:
            return execution.flow_id
        case Field.STATE:
            return execution.state.value
        case Field.KIND:
            return execution.kind.value
        case Field.PARENT_ID:
            return execution.parent_id
        case Field.TRIGGER_EXECUTION_ID:
            return _parent_of(execution)
        case Field.START_DATE:
            return execution.history[0].date
        case Field.END_DATE:
            return ended(execution)
        case Field.EXECUTION_ID:
            return execution.id
        case _:
            return None


def _parent_of(execution: Execution) -> str | None:
    if execution.trigger is None:
        return None
    value = execution.trigger.variables.get("executionId")
    return value if isinstance(value, str) else None


def log_matches(line: LogEntry, filter_: Filter) -> bool:
    """Tell whether a log line matches."""
    op, value = filter_.op, filter_.value
    match filter_.field:
        case Field.QUERY:
            texts = (line.message, line.namespace, line.flow_id, line.task_id, line.execution_id, line.trigger_id)
            return any(matches(text, Op.CONTAINS, value) for text in texts) is not (op is Op.NOT_EQUALS)
        case Field.MIN_LEVEL if op is Op.IN:
            return line.level in value
        case Field.MIN_LEVEL:
            return level_rank(line.level) >= level_rank(value)
        case Field.SCOPE:
            return any((line.namespace == SYSTEM_NAMESPACE) is (scope == "SYSTEM") for scope in value)
        case Field.START_DATE | Field.END_DATE:
            return matches(line.timestamp, op, value)
        case Field.ATTEMPT_NUMBER:
            return line.attempt_number == int(value)
        case Field.NAMESPACE:
            return matches(line.namespace, op, value)
        case Field.FLOW_ID:
            return matches(line.flow_id, op, value)
        case Field.EXECUTION_ID:
            return matches(line.execution_id, op, value)
        case Field.TASK_ID:
            return matches(line.task_id, op, value)
        case Field.TASK_RUN_ID:
            return matches(line.task_run_id, op, value)
        case Field.TRIGGER_ID:
            return matches(line.trigger_id, op, value)
        case _:
            return True


def metric_matches(entry: MetricEntry, filter_: Filter) -> bool:
    """Tell whether a measurement matches."""
    have = {
        Field.NAMESPACE: entry.namespace,
        Field.FLOW_ID: entry.flow_id,
        Field.EXECUTION_ID: entry.execution_id,
        Field.TASK_ID: entry.task_id,
        Field.TASK_RUN_ID: entry.task_run_id,
        Field.NAME: entry.name,
        Field.START_DATE: entry.timestamp,
        Field.END_DATE: entry.timestamp,
    }
    return filter_.field not in have or matches(have[filter_.field], filter_.op, filter_.value)


def audit_matches(record: AuditRecord, filter_: Filter) -> bool:
    """Tell whether a record of a change matches."""
    if filter_.field is Field.QUERY:
        texts = (record.actor, record.action, record.subject)
        return any(matches(text, Op.CONTAINS, filter_.value) for text in texts) is not (filter_.op is Op.NOT_EQUALS)
    return matches(record.at, filter_.op, filter_.value)


def ended(execution: Execution) -> datetime | None:
    """Return when an execution has ended."""
    return execution.history[-1].date if execution.state.is_terminated else None
