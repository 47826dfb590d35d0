"""The definition store in memory, for tests and single-process runs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from tiercel.definitions.base import FlowRow
from tiercel.definitions.revision import Parse, ParsedFlows, check_sort, next_revision, parse_row, row_of
from tiercel.errors import Conflict, NotFound
from tiercel.model.flow import Flow
from tiercel.runtime.clock import Clock, SystemClock


class MemoryDefinitions:
    """Keeps flows in one process."""

    def __init__(self, clock: Clock | None = None, parse: Parse = parse_row) -> None:
        self._clock = clock or SystemClock()
        self._parsed = ParsedFlows(parse)
        self._revisions: dict[tuple[str, str, str], list[FlowRow]] = {}

    async def create(self, flow: Flow) -> Flow:
        """Store the first revision, or the next one of a deleted flow."""
        rows = self._revisions.setdefault((flow.tenant_id, flow.namespace, flow.id), [])
        if rows and not rows[-1].deleted:
            raise Conflict(f"Flow '{flow.namespace}.{flow.id}' exists already; update it instead.")
        return self._stored(rows, flow)

    async def update(self, flow: Flow) -> Flow:
        """Store the next revision when the text differs."""
        rows = self._revisions.get((flow.tenant_id, flow.namespace, flow.id), [])
        if not rows or rows[-1].deleted:
            raise NotFound(f"Flow '{flow.namespace}.{flow.id}' does not exist; create it instead.")
        if next_revision(rows[-1], flow) == rows[-1].revision:
            return self._parsed.parsed(rows[-1])
        return self._stored(rows, flow)

    def _stored(self, rows: list[FlowRow], flow: Flow) -> Flow:
        rows.append(row_of(flow, next_revision(rows[-1] if rows else None, flow), self._clock.now()))
        return msgspec.structs.replace(flow, revision=rows[-1].revision, deleted=False)

    async def delete(self, tenant_id: str, namespace: str, flow_id: str) -> FlowRow | None:
        """Store a deleted revision."""
        rows = self._revisions.get((tenant_id, namespace, flow_id), [])
        if not rows or rows[-1].deleted:
            return None
        last = rows[-1]
        rows.append(
            msgspec.structs.replace(
                last, revision=last.revision + 1, deleted=True, draft=False, updated_at=self._clock.now()
            )
        )
        return rows[-1]

    async def flow(
        self, tenant_id: str, namespace: str, flow_id: str, revision: int | None = None, *, deleted: bool = False
    ) -> Flow | None:
        """Return a revision, parsed."""
        row = await self.row(tenant_id, namespace, flow_id, revision, deleted=deleted)
        return self._parsed.parsed(row) if row is not None else None

    async def published(self, tenant_id: str, namespace: str, flow_id: str) -> Flow | None:
        """Return the last revision that is no draft."""
        row = _published(self._revisions.get((tenant_id, namespace, flow_id), []))
        return self._parsed.parsed(row) if row is not None else None

    async def row(
        self, tenant_id: str, namespace: str, flow_id: str, revision: int | None = None, *, deleted: bool = False
    ) -> FlowRow | None:
        """Return a revision's row."""
        rows = self._revisions.get((tenant_id, namespace, flow_id), [])
        found = [row for row in rows if revision is None or row.revision == revision][-1:]
        return found[0] if found and (deleted or not found[0].deleted) else None

    async def revisions(self, tenant_id: str, namespace: str, flow_id: str) -> list[FlowRow]:
        """Return all revisions, oldest first."""
        return list(self._revisions.get((tenant_id, namespace, flow_id), []))

    async def forget_revisions(
        self, tenant_id: str, namespace: str, flow_id: str, revisions: Collection[int]
    ) -> list[int]:
        """Delete revisions for good, but never the last one."""
        rows = self._revisions.get((tenant_id, namespace, flow_id), [])
        published = _published(rows)
        gone = [row.revision for row in rows[:-1] if row.revision in revisions and row is not published]
        rows[:] = [row for row in rows if row.revision not in gone]
        return gone

    async def search(
        self,
        tenant_id: str,
        *,
        query: str | None = None,
        namespace: str | None = None,
        labels: dict[str, str] | None = None,
        sort: tuple[tuple[str, bool], ...] = (),
        page: int = 1,
        size: int = 10,
    ) -> tuple[list[FlowRow], int]:
        """Return a page of last revisions and how many there are."""
        check_sort(sort)
        found = [
            row
            for row in self._last()
            if row.tenant_id == tenant_id
            and (namespace is None or f"{row.namespace}.".startswith(f"{namespace}."))
            and (labels or {}).items() <= row.labels.items()
            and all(word in _text(row) for word in (query or "").lower().split())
        ]
        for field, ascending in reversed(sort):
            found.sort(key=lambda row, field=field: _sortable(getattr(row, field)), reverse=not ascending)  # type: ignore[misc]  # binds now
        return found[(page - 1) * size : page * size], len(found)

    async def namespaces(self, tenant_id: str) -> list[str]:
        """Return the namespaces that have flows."""
        return sorted({row.namespace for row in self._last() if row.tenant_id == tenant_id})

    async def active(self) -> list[FlowRow]:
        """Return the published revision of every flow that has one."""
        found = (_published(rows) for _, rows in sorted(self._revisions.items()))
        return [row for row in found if row is not None]

    def _last(self) -> list[FlowRow]:
        last = (rows[-1] for _, rows in sorted(self._revisions.items()) if rows)
        return [row for row in last if not row.deleted]

    def forget(self, tenant_id: str, namespace: str, flow_id: str) -> None:
        """Do nothing: there is no other process."""

    async def close(self) -> None:
        """Do nothing: there is nothing to close."""


def _published(rows: list[FlowRow]) -> FlowRow | None:
    last = next((row for row in reversed(rows) if not row.draft), None)
    return last if last is not None and not last.deleted else None


def _text(row: FlowRow) -> str:
    return f"{row.namespace}.{row.id}\n{row.description or ''}".lower()


def _sortable(value: Any) -> tuple[bool, Any]:
    return (value is not None, value)
