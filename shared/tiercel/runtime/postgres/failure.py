"""The border at which PostgreSQL's errors become ours: who must act decides."""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import errors

from tiercel.errors import InternalError, OperatorError, TiercelError, Unavailable

_PASSING: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.ReadOnlySqlTransaction,  # a standby that is being promoted
    errors.IdleInTransactionSessionTimeout,
)
_OPERATORS: Final = (
    errors.InvalidCatalogName,
    errors.InvalidPassword,
    errors.InvalidAuthorizationSpecification,
    errors.InsufficientPrivilege,
)


def translated(error: psycopg.Error) -> TiercelError:
    """Return what callers see instead of the library's error."""
    said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, errors.UndefinedTable | errors.InvalidSchemaName | errors.UndefinedColumn):
        return OperatorError(f"PostgreSQL lacks a table ({said}); run `tiercel migrate`.")
    if isinstance(error, _OPERATORS):
        return OperatorError(f"PostgreSQL refuses: {said}; check the address, the user and the grants.")
    if isinstance(error, _PASSING):
        return Unavailable(f"PostgreSQL cannot do this now ({said}); is its server running and reachable?")
    return InternalError(f"PostgreSQL refused a statement: {said}.")
