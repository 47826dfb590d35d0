"""Revisions of flows: how a flow becomes a row, and how rows become parsed flows once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec

from tiercel.definitions.base import FlowRow
from tiercel.errors import Refused
from tiercel.flowspec.parse import parse_flow
from tiercel.model.flow import Flow

PARSED_MAX: Final = 2000
"""Parsed flows that are kept: some 50 MB of usual ones."""
SORT_FIELDS: Final = ("namespace", "id", "revision", "updated_at", "disabled", "draft", "description")

Parse = Callable[[FlowRow], Flow]
"""Reads a stored revision; the process's settings (plugin defaults) go in by this."""


def parse_row(row: FlowRow) -> Flow:
    """Read a stored revision as it was accepted: what a newer version no longer knows is left out."""
    return parse_flow(row.source, tenant_id=row.tenant_id, revision=row.revision, strict=False)


def row_of(flow: Flow, revision: int, at: datetime) -> FlowRow:
    """Make the row of a revision."""
    return FlowRow(
        tenant_id=flow.tenant_id,
        namespace=flow.namespace,
        id=flow.id,
        revision=revision,
        source=flow.source,
        deleted=False,
        updated_at=at,
        disabled=flow.disabled,
        draft=flow.draft,
        description=flow.description,
        labels=dict(flow.labels),
    )


def next_revision(last: FlowRow | None, flow: Flow) -> int:
    """
    Return the revision that storing a flow leads to: the last one when its text is the same and not deleted.

    The text of a draft that is published is a new revision all the same; what is published is not made a draft of.
    """
    if last is None:
        return 1
    is_same = last.source == flow.source and not last.deleted and (flow.draft or not last.draft)
    return last.revision if is_same else last.revision + 1


def check_sort(sort: tuple[tuple[str, bool], ...]) -> None:
    """Raise Refused for a field that flows cannot be sorted by."""
    for field, _ in sort:
        if field not in SORT_FIELDS:
            raise Refused(f"Flows cannot be sorted by '{field}'; use one of {', '.join(SORT_FIELDS)}.")


class ParsedFlows:
    """The flows that were parsed last; a revision never changes, so nothing here grows old."""

    def __init__(self, parse: Parse) -> None:
        self._parse = parse
        self._flows: OrderedDict[tuple[str, str, str, int], Flow] = OrderedDict()

    def known(self, tenant_id: str, namespace: str, flow_id: str, revision: int) -> Flow | None:
        """Return a revision that was parsed before."""
        key = (tenant_id, namespace, flow_id, revision)
        flow = self._flows.get(key)
        if flow is not None:
            self._flows.move_to_end(key)
        return flow

    def parsed(self, row: FlowRow) -> Flow:
        """Return the row's flow, parsed now if it is not known."""
        key = (row.tenant_id, row.namespace, row.id, row.revision)
        flow = self.known(*key)
        if flow is None:
            flow = self._parse(row)
            flow = msgspec.structs.replace(flow, revision=row.revision, deleted=row.deleted, draft=row.draft)
            self._flows[key] = flow
            if len(self._flows) > PARSED_MAX:
                self._flows.popitem(last=False)
        return flow
