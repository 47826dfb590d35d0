"""
Which flows a query asks for.

The store looks for words, a namespace with those below it, and labels; every other filter is tried here on what it
found. No filter is passed over: what is deleted "by query" is what the query says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from tiercel.definitions.base import FlowRow
from tiercel.model.system import SYSTEM_NAMESPACE
from tiercel.repository.filter import Field, Filter, Op, matches
from tiercel.webserver import query
from tiercel.webserver.context import Call

FLOWS_MAX: Final = 10_000
"""Flows that are looked at where the store cannot tell by itself."""
_SORTS: Final = {"updated": "updated_at"}
_VALUES: Final[Mapping[Field, Callable[[FlowRow], str]]] = {
    Field.NAMESPACE: lambda row: row.namespace,
    Field.FLOW_ID: lambda row: row.id,
}


async def search(call: Call, size: int | None = None) -> tuple[list[FlowRow], int]:
    """Return the flows that the query asks for (a page of them without `size`), and how many there are in all."""
    page = call.query.page()
    wanted = call.query.filters("FLOW", query.FLOW_FIELDS, call.api.clock.now())
    words = [str(each.value) for each in wanted if each.field is Field.QUERY and each.op is not Op.NOT_EQUALS]
    below = [str(each.value) for each in wanted if each.field is Field.NAMESPACE and each.op is Op.PREFIX]
    labels = [each.value for each in wanted if each.field is Field.LABELS and each.op is Op.EQUALS]
    is_exact = all(map(_is_of_store, wanted)) and len(below) < 2 and len(dict(labels)) == len(labels)
    number, length = (page.number, page.size) if size is None else (1, size)
    rows, total = await call.api.definitions.search(
        call.tenant_id,
        query=" ".join(words) or None,
        namespace=below[0] if below else None,
        labels=dict(labels) or None,
        sort=tuple((_SORTS.get(sort.field, sort.field), not sort.descending) for sort in page.sort),
        page=number if is_exact else 1,
        size=length if is_exact else FLOWS_MAX,
    )
    if is_exact:
        return rows, total
    found = [row for row in rows if _holds(row, wanted)]
    return found[(number - 1) * length : number * length], len(found)


def _is_of_store(wanted: Filter) -> bool:
    match wanted.field:
        case Field.QUERY:
            return wanted.op is not Op.NOT_EQUALS
        case Field.NAMESPACE:
            return wanted.op is Op.PREFIX
        case Field.LABELS:
            return wanted.op is Op.EQUALS
        case _:
            return False


def _holds(row: FlowRow, wanted: Iterable[Filter]) -> bool:
    return all(_matches(row, each) for each in wanted)


def _matches(row: FlowRow, wanted: Filter) -> bool:
    match wanted.field:
        case Field.QUERY:
            text = f"{row.namespace}.{row.id}\n{row.description or ''}"
            hit = all(matches(text, Op.CONTAINS, word) for word in str(wanted.value).split())
            return hit is not (wanted.op is Op.NOT_EQUALS)
        case Field.SCOPE:
            return any((row.namespace == SYSTEM_NAMESPACE) is (scope == "SYSTEM") for scope in wanted.value)
        case Field.LABELS:
            key, value = wanted.value
            return matches(row.labels.get(key), wanted.op, value)
        case _:
            return matches(_VALUES[wanted.field](row), wanted.op, wanted.value)
