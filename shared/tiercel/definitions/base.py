"""The port of the definition store. Adapters keep the author's text; parsed flows are cached by revision."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

import msgspec

from tiercel.model.flow import Flow


class FlowRow(msgspec.Struct, frozen=True, kw_only=True):
    """One stored revision of a flow: the author's text and what a list shows."""

    tenant_id: str
    namespace: str
    id: str
    revision: int
    source: str
    deleted: bool
    updated_at: datetime
    disabled: bool = False
    draft: bool = False
    description: str | None = None
    labels: dict[str, str] = {}


class Definitions(Protocol):
    """Keeps flows."""

    async def create(self, flow: Flow) -> Flow:
        """Store revision 1 (or the next one of a deleted flow); raise Conflict when it exists."""
        ...

    async def update(self, flow: Flow) -> Flow:
        """Store the next revision when the text differs, else return the stored one; raise NotFound when unknown."""
        ...

    async def delete(self, tenant_id: str, namespace: str, flow_id: str) -> FlowRow | None:
        """Store a deleted revision; None when it is unknown."""
        ...

    async def flow(
        self, tenant_id: str, namespace: str, flow_id: str, revision: int | None = None, *, deleted: bool = False
    ) -> Flow | None:
        """Return a revision, parsed (the last one when `revision` is None); None when it is unknown or deleted."""
        ...

    async def published(self, tenant_id: str, namespace: str, flow_id: str) -> Flow | None:
        """Return what is run: the last revision that is no draft; None when there is none or the flow is deleted."""
        ...

    async def row(
        self, tenant_id: str, namespace: str, flow_id: str, revision: int | None = None, *, deleted: bool = False
    ) -> FlowRow | None:
        """Return a revision's row."""
        ...

    async def revisions(self, tenant_id: str, namespace: str, flow_id: str) -> list[FlowRow]:
        """Return all revisions, oldest first."""
        ...

    async def forget_revisions(
        self, tenant_id: str, namespace: str, flow_id: str, revisions: Collection[int]
    ) -> list[int]:
        """Delete revisions for good, never the last nor the published one; return those that are gone, in order."""
        ...

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
        """
        Return a page of last revisions and how many there are in all.

        Each word of `query` is found in the namespace, the id or the description, whatever its case; `namespace` names
        it or one above; all of `labels` are there. `sort` holds (field, ascending) with fields of `FlowRow`; Refused
        for others. What is equal is sorted by namespace and id.
        """
        ...  # fmt: skip

    async def namespaces(self, tenant_id: str) -> list[str]:
        """Return the namespaces that have flows."""
        ...

    async def active(self) -> list[FlowRow]:
        """Return the published revision of every flow that has one, of all tenants."""
        ...

    def forget(self, tenant_id: str, namespace: str, flow_id: str) -> None:
        """
        Drop what is remembered of the flow's last revision: somebody has said that there is a new one.

        Without it another process's change is seen after a second.
        """
        ...

    async def close(self) -> None:
        """Let go of connections and the like; nothing is asked of it afterwards."""
        ...
