"""
The definition store on PostgreSQL.

A revision never changes, so a parsed one is kept; which revision is the last is remembered for a second, or until
somebody says that there is a new one (`forget`).
"""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from tiercel.definitions.base import FlowRow
from tiercel.definitions.revision import Parse, ParsedFlows, check_sort, next_revision, parse_row, row_of
from tiercel.errors import Conflict, NotFound
from tiercel.model.flow import Flow
from tiercel.runtime.postgres.pool import PLAIN_SESSION, Connection, PostgresPool
from tiercel.runtime.postgres.statement import Statements

SQL: Final = Statements("tiercel.definitions.postgres", "definitions.sql")
LATEST_KNOWN_S: Final = 1.0
"""How long another process's change may be missed by one that nobody has told."""
LATEST_MAX: Final = 20_000
"""Flows whose last revision is remembered; beyond this all are asked for again."""
_COLUMNS: Final = (
    "tenant_id, namespace, id, revision, source, {deleted}, updated_at, disabled, draft, description, labels"
)
_REVISION: Final = _COLUMNS.format(deleted="deleted")
_LAST: Final = _COLUMNS.format(deleted="r.deleted")
_BELOW: Final = ", ".join(f"p.{name.strip()}" for name in _REVISION.split(","))

Key = tuple[str, str, str]


class PostgresDefinitions:
    """Keeps flows in tables."""

    def __init__(self, uri: str, *, parse: Parse = parse_row, size: int = 2) -> None:
        self._pool = PostgresPool(uri, size=size, session={**PLAIN_SESSION, "statement_timeout": "30s"})
        self._parsed = ParsedFlows(parse)
        self._latest: dict[Key, tuple[int, bool, float]] = {}

    async def create(self, flow: Flow) -> Flow:
        """Store the first revision, or the next one of a deleted flow."""
        async with self._pool.connection() as connection, connection.transaction():
            last = await self._lock(connection, _key(flow))
            if last is not None and not last.deleted:
                raise Conflict(f"Flow '{flow.namespace}.{flow.id}' exists already; update it instead.")
            row = await self._store(
                connection, row_of(flow, last.revision + 1 if last is not None else 1, datetime.now(UTC))
            )
        return self._told(flow, row)

    async def update(self, flow: Flow) -> Flow:
        """Store the next revision when the text differs."""
        async with self._pool.connection() as connection, connection.transaction():
            last = await self._lock(connection, _key(flow))
            if last is None or last.deleted:
                raise NotFound(f"Flow '{flow.namespace}.{flow.id}' does not exist; create it instead.")
            if next_revision(last, flow) == last.revision:
                return self._parsed.parsed(last)
            row = await self._store(connection, row_of(flow, last.revision + 1, datetime.now(UTC)))
        return self._told(flow, row)

    async def delete(self, tenant_id: str, namespace: str, flow_id: str) -> FlowRow | None:
        """Store a deleted revision."""
        async with self._pool.connection() as connection, connection.transaction():
            last = await self._lock(connection, (tenant_id, namespace, flow_id))
            if last is None or last.deleted:
                return None
            gone = msgspec.structs.replace(last, revision=last.revision + 1, deleted=True, draft=False)
            row = await self._store(connection, gone)
        self.forget(tenant_id, namespace, flow_id)
        return row

    async def _lock(self, connection: Connection, key: Key) -> FlowRow | None:
        cursor = await connection.execute(SQL["latest_locked"], _named(key), binary=True)
        latest = await cursor.fetchone()
        if latest is None:
            return None
        about = {**_named(key), "revision": latest[0]}
        row = await (await connection.execute(_with(SQL["revision"]), about, binary=True)).fetchone()
        assert row is not None, "a flow points to a revision that is there"
        return _flow_row(row)

    async def _store(self, connection: Connection, row: FlowRow) -> FlowRow:
        """Write a revision and point to it; the flow is locked, or another process creates it at the same time."""
        about = {
            **_named((row.tenant_id, row.namespace, row.id)),
            "revision": row.revision,
            "source": row.source,
            "deleted": row.deleted,
            "disabled": row.disabled,
            "draft": row.draft,
            "description": row.description,
            "labels": msgspec.json.encode(row.labels).decode(),
        }
        if await (await connection.execute(SQL["point"], about)).fetchone() is None:
            raise Conflict(f"Flow '{row.namespace}.{row.id}' is being changed by somebody else; try again.")
        stored = await (await connection.execute(_with(SQL["store"]), about, binary=True)).fetchone()
        assert stored is not None
        return _flow_row(stored)

    def _told(self, flow: Flow, row: FlowRow) -> Flow:
        self.forget(*_key(flow))
        return msgspec.structs.replace(flow, revision=row.revision, deleted=False)

    async def flow(
        self, tenant_id: str, namespace: str, flow_id: str, revision: int | None = None, *, deleted: bool = False
    ) -> Flow | None:
        """Return a revision, parsed."""
        if revision is None:
            latest = await self._last(tenant_id, namespace, flow_id)
            if latest is None or (latest[1] and not deleted):
                return None
            revision = latest[0]
        known = self._parsed.known(tenant_id, namespace, flow_id, revision)
        if known is not None:
            return known if deleted or not known.deleted else None
        row = await self.row(tenant_id, namespace, flow_id, revision, deleted=deleted)
        return self._parsed.parsed(row) if row is not None else None

    async def published(self, tenant_id: str, namespace: str, flow_id: str) -> Flow | None:
        """Return the last revision that is no draft."""
        latest = await self._last(tenant_id, namespace, flow_id)
        if latest is None or latest[1]:
            return None
        known = self._parsed.known(tenant_id, namespace, flow_id, latest[0])
        if known is not None and not known.draft:
            return known
        rows = await self._pool.fetch(_with(SQL["published"]), _named((tenant_id, namespace, flow_id)))
        row = _flow_row(rows[0]) if rows else None
        return self._parsed.parsed(row) if row is not None and not row.deleted else None

    async def row(
        self, tenant_id: str, namespace: str, flow_id: str, revision: int | None = None, *, deleted: bool = False
    ) -> FlowRow | None:
        """Return a revision's row."""
        if revision is None:
            latest = await self._last(tenant_id, namespace, flow_id)
            if latest is None:
                return None
            revision = latest[0]
        about = {**_named((tenant_id, namespace, flow_id)), "revision": revision}
        rows = [_flow_row(row) for row in await self._pool.fetch(_with(SQL["revision"]), about)]
        return rows[0] if rows and (deleted or not rows[0].deleted) else None

    async def _last(self, tenant_id: str, namespace: str, flow_id: str) -> tuple[int, bool] | None:
        """Return the last revision and whether it is deleted."""
        key = (tenant_id, namespace, flow_id)
        known = self._latest.get(key)
        if known is not None and known[2] > time.monotonic():
            return known[:2]
        rows = await self._pool.fetch(SQL["latest"], _named(key))
        if not rows:
            return None
        if len(self._latest) >= LATEST_MAX:
            self._latest.clear()
        self._latest[key] = (rows[0][0], rows[0][1], time.monotonic() + LATEST_KNOWN_S)
        return self._latest[key][:2]

    async def revisions(self, tenant_id: str, namespace: str, flow_id: str) -> list[FlowRow]:
        """Return all revisions, oldest first."""
        rows = await self._pool.fetch(_with(SQL["revisions"]), _named((tenant_id, namespace, flow_id)))
        return [_flow_row(row) for row in rows]

    async def forget_revisions(
        self, tenant_id: str, namespace: str, flow_id: str, revisions: Collection[int]
    ) -> list[int]:
        """Delete revisions for good, but never the last one."""
        about = {**_named((tenant_id, namespace, flow_id)), "revisions": list(revisions)}
        return sorted(number for (number,) in await self._pool.fetch(SQL["forget_revisions"], about))

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
        about: dict[str, Any] = {"tenant": tenant_id, "size": size, "skip": (page - 1) * size}
        where = "\nAND f.tenant_id = %(tenant)s"
        if namespace is not None:
            where += " AND starts_with(f.namespace || '.', %(namespace)s)"
            about["namespace"] = f"{namespace}."
        if labels:
            where += " AND r.labels @> %(labels)s::jsonb"
            about["labels"] = msgspec.json.encode(labels).decode()
        for number, word in enumerate((query or "").lower().split()):
            text = "lower(f.namespace || '.' || f.id || E'\\n' || coalesce(r.description, ''))"
            where += f" AND position(%(word{number})s IN {text}) > 0"
            about[f"word{number}"] = word
        chosen = [f"{field} {'ASC NULLS FIRST' if up else 'DESC NULLS LAST'}" for field, up in sort]
        order = ", ".join([*chosen, "namespace", "id"])
        tail = f"{where}\nORDER BY {order} LIMIT %(size)s OFFSET %(skip)s"
        rows = await self._pool.fetch(_with(SQL["last"], _LAST) + tail.encode(), about)
        ((total,),) = await self._pool.fetch(SQL["count"] + where.encode(), about)
        return [_flow_row(row) for row in rows], total

    async def namespaces(self, tenant_id: str) -> list[str]:
        """Return the namespaces that have flows."""
        return [name for (name,) in await self._pool.fetch(SQL["namespaces"], {"tenant": tenant_id})]

    async def active(self) -> list[FlowRow]:
        """Return the published revision of every flow that has one."""
        rows = [_flow_row(row) for row in await self._pool.fetch(_with(SQL["last"], _LAST))]
        if any(row.draft for row in rows):
            below = [_flow_row(row) for row in await self._pool.fetch(_with(SQL["below_drafts"], _BELOW))]
            rows = [row for row in rows if not row.draft] + [row for row in below if not row.deleted]
        return sorted(rows, key=lambda row: (row.tenant_id, row.namespace, row.id))

    def forget(self, tenant_id: str, namespace: str, flow_id: str) -> None:
        """Ask the database which revision is the last, next time."""
        self._latest.pop((tenant_id, namespace, flow_id), None)

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()


def _key(flow: Flow) -> Key:
    return (flow.tenant_id, flow.namespace, flow.id)


def _named(key: Key) -> dict[str, Any]:
    return {"tenant": key[0], "namespace": key[1], "id": key[2]}


def _with(statement: bytes, columns: str = _REVISION) -> bytes:
    return statement.replace(b"{columns}", columns.encode())


def _flow_row(row: tuple[Any, ...]) -> FlowRow:
    return FlowRow(**dict(zip(FlowRow.__struct_fields__, row, strict=True)))
