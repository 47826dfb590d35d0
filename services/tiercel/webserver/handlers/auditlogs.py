"""Who changed what: the records of requests that changed something."""

from __future__ import annotations

from typing import Any, Final

from litestar import get

from tiercel.messages.history import AuditRecord
from tiercel.webserver import query
from tiercel.webserver.context import Call
from tiercel.webserver.request import AnyRequest


def record_json(record: AuditRecord) -> dict[str, Any]:
    """Return a record as the API shows it."""
    return {
        "id": record.id,
        "date": record.at,
        "tenantId": record.tenant_id,
        "userId": record.actor,
        "action": record.action,
        "subject": record.subject,
        "detail": record.detail,
    }


@get("/api/v1/auditlogs/search", tags=["Audit logs"])
async def search_audit_logs(request: AnyRequest) -> dict[str, Any]:
    """Search the records, the newest first."""
    call = Call(request)
    wanted = call.query.filters("AUDITLOG", query.AUDIT_FIELDS, call.api.clock.now())
    found = await call.api.repository.audit(call.tenant_id, wanted, call.query.page())
    data: dict[str, Any] = {"results": [record_json(record) for record in found.results], "total": found.total}
    if found.cursor is not None:
        data["nextCursor"] = found.cursor
    return data


HANDLERS: Final[list[Any]] = [search_audit_logs]
