"""Translates filters into SQL conditions; values are always parameters, names come from the tables here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from psycopg import sql

from tiercel.errors import Refused
from tiercel.model.system import CORRELATION_ID
from tiercel.repository.filter import Field, Filter, Op, level_rank

LABEL_MAX: Final = 400
"""Letters of a label that are searched for: an index entry must stay below a page's third."""

_EXECUTION: Final = {
    Field.NAMESPACE: "namespace",
    Field.FLOW_ID: "flow_id",
    Field.STATE: "state",
    Field.KIND: "kind",
    Field.PARENT_ID: "parent_id",
    Field.TRIGGER_EXECUTION_ID: "trigger_execution_id",
    Field.START_DATE: "started_at",
    Field.END_DATE: "ended_at",
    Field.EXECUTION_ID: "id",
}
_ENTRY: Final = {
    Field.NAMESPACE: "namespace",
    Field.FLOW_ID: "flow_id",
    Field.EXECUTION_ID: "execution_id",
    Field.TASK_ID: "task_id",
    Field.TASK_RUN_ID: "task_run_id",
    Field.START_DATE: "at",
    Field.END_DATE: "at",
}
_LOG: Final = {**_ENTRY, Field.TRIGGER_ID: "trigger_id", Field.ATTEMPT_NUMBER: "attempt"}
_METRIC: Final = {**_ENTRY, Field.NAME: "name"}
_LOG_TEXTS: Final = ("message", "namespace", "flow_id", "task_id", "execution_id", "trigger_id")
_COMPARISONS: Final = {
    Op.EQUALS: "{c} = {v}",
    Op.NOT_EQUALS: "{c} IS DISTINCT FROM {v}",
    Op.GREATER_THAN: "{c} > {v}",
    Op.GREATER_THAN_OR_EQUAL_TO: "{c} >= {v}",
    Op.LESS_THAN: "{c} < {v}",
    Op.LESS_THAN_OR_EQUAL_TO: "{c} <= {v}",
    Op.IN: "{c} = ANY({v})",
    Op.NOT_IN: "({c} IS NULL OR {c} <> ALL({v}))",
    Op.STARTS_WITH: "starts_with({c}, {v})",
    Op.ENDS_WITH: "right({c}, length({v})) = {v}",
    Op.CONTAINS: "strpos(lower({c}), lower({v})) > 0",
    Op.REGEX: "{c} ~ {v}",
}

Conditions = tuple[sql.Composable, list[Any]]


def executions(tenant_id: str, filters: Sequence[Filter]) -> Conditions:
    """Return the condition of a search for executions, and its parameters."""
    where = _Where(tenant_id)
    if not any(filter_.field is Field.KIND for filter_ in filters):
        where.add("kind = 'NORMAL'")
    for filter_ in filters:
        match filter_.field:
            case Field.QUERY:
                where.any_contains(("id", "namespace", "flow_id", "array_to_string(labels, ' ')"), filter_)
            case Field.SCOPE:
                where.scope(filter_.value)
            case Field.LABELS:
                where.label(filter_)
            case Field.CHILD_FILTER:
                where.add(f"trigger_execution_id IS {'NOT ' if filter_.value == 'CHILD' else ''}NULL")
            case field if field in _EXECUTION:
                where.compare(_EXECUTION[field], filter_)
            case field:
                raise Refused(f"Executions cannot be filtered by '{field}'.")
    return where.conditions


def logs(tenant_id: str, filters: Sequence[Filter]) -> Conditions:
    """Return the condition of a search for log lines, and its parameters."""
    where = _Where(tenant_id)
    for filter_ in filters:
        match filter_.field:
            case Field.QUERY:
                where.any_contains(_LOG_TEXTS, filter_)
            case Field.MIN_LEVEL if filter_.op is Op.IN:
                where.add("level = ANY(%s)", [level_rank(level) for level in filter_.value])
            case Field.MIN_LEVEL:
                where.add("level >= %s", level_rank(filter_.value))
            case Field.SCOPE:
                where.scope(filter_.value)
            case Field.ATTEMPT_NUMBER:
                where.add("attempt = %s", int(filter_.value))
            case field if field in _LOG:
                where.compare(_LOG[field], filter_)
            case field:
                raise Refused(f"Logs cannot be filtered by '{field}'.")
    return where.conditions


def metrics(tenant_id: str, filters: Sequence[Filter]) -> Conditions:
    """Return the condition of a search for metrics, and its parameters."""
    where = _Where(tenant_id)
    for filter_ in filters:
        if filter_.field not in _METRIC:
            raise Refused(f"Metrics cannot be filtered by '{filter_.field}'.")
        where.compare(_METRIC[filter_.field], filter_)
    return where.conditions


def audit(tenant_id: str, filters: Sequence[Filter]) -> Conditions:
    """Return the condition of a search for records of changes, and its parameters."""
    where = _Where(tenant_id)
    for filter_ in filters:
        match filter_.field:
            case Field.QUERY:
                where.any_contains(("actor", "action", "subject"), filter_)
            case Field.START_DATE | Field.END_DATE:
                where.compare("at", filter_)
            case field:
                raise Refused(f"Records of changes cannot be filtered by '{field}'.")
    return where.conditions


class _Where:
    def __init__(self, tenant_id: str) -> None:
        self._parts: list[str] = ["tenant_id = %s"]
        self._values: list[Any] = [tenant_id]

    @property
    def conditions(self) -> Conditions:
        text = " AND ".join(self._parts)
        return sql.SQL(text), self._values

    def add(self, text: str, *values: Any) -> None:
        self._parts.append(text)
        self._values.extend(values)

    def label(self, filter_: Filter) -> None:
        key, value = filter_.value
        own = " OR id = %s" if key == CORRELATION_ID else ""
        negated = "NOT " if filter_.op is Op.NOT_EQUALS else ""
        self.add(f"{negated}(labels @> %s{own})", [f"{key}:{value}"[:LABEL_MAX]], *([value] if own else []))

    def scope(self, scopes: Sequence[str]) -> None:
        wanted = {scope == "SYSTEM" for scope in scopes}
        if len(wanted) == 1:
            self.add("namespace = 'system'" if True in wanted else "namespace <> 'system'")

    def any_contains(self, columns: Sequence[str], filter_: Filter) -> None:
        texts = [f"coalesce(strpos(lower({column}), lower(%s)), 0) > 0" for column in columns]
        joined = f"({' OR '.join(texts)})"
        self.add(f"NOT {joined}" if filter_.op is Op.NOT_EQUALS else joined, *[filter_.value] * len(columns))

    def compare(self, column: str, filter_: Filter) -> None:
        value = list(filter_.value) if filter_.op in (Op.IN, Op.NOT_IN) else filter_.value
        if filter_.op is Op.PREFIX:
            # "a.b" and "a.b.…": in byte order '/' follows '.', so the second is a range of the index
            self.add(f"({column} = %s OR ({column} >= %s AND {column} < %s))", value, f"{value}.", f"{value}/")
            return
        if value is None:
            self.add(f"{column} IS {'' if filter_.op is Op.EQUALS else 'NOT '}NULL")
            return
        text = _COMPARISONS[filter_.op].format(c=column, v="%s")
        self.add(text, *[value] * text.count("%s"))
