"""What every repository promises about records of changes."""

from __future__ import annotations

from datetime import timedelta

from tests.contract.test_repository import NOW
from tiercel.messages.history import AuditRecord
from tiercel.repository.base import HistoryBatch, Page, Repository
from tiercel.repository.filter import Field, Filter, Op


async def test_records_of_changes_are_kept_once_and_found(repository: Repository) -> None:
    """A record that comes again is no second one; the newest are shown first, of one tenant, by text and by time."""
    records = [
        AuditRecord(id=str(at), at=NOW + timedelta(seconds=at), actor="me", action="PUT /kv/{key}", subject=f"/kv/{at}")
        for at in range(3)
    ]
    other = AuditRecord(id="9", at=NOW, tenant_id="other", actor="you", action="a", subject="s", detail={"status": 200})

    await repository.write(HistoryBatch(audit=[*records, other]))
    await repository.write(HistoryBatch(audit=records[:1]))

    first = await repository.audit("main", [], Page(size=2))
    assert (records[:0:-1], 3) == (first.results, first.total)
    assert records[:1] == (await repository.audit("main", [], Page(size=2, cursor=first.cursor))).results
    assert [other] == (await repository.audit("other", [Filter(field=Field.QUERY, value="YOU")], Page())).results
    late = Filter(field=Field.START_DATE, op=Op.GREATER_THAN, value=NOW)
    named = Filter(field=Field.QUERY, value="kv/1")
    assert [records[1]] == (await repository.audit("main", [late, named], Page())).results
