"""Errors as the API answers them: our tree becomes a status and Kestra's JSON (reference 11.1)."""

from __future__ import annotations

import logging
from typing import Any, Final

import msgspec
from litestar.exceptions import HTTPException, SerializationException

from tiercel.errors import (
    CallerError,
    Conflict,
    ExpressionError,
    FlowAuthorError,
    InvalidFlow,
    InvalidInput,
    NotFound,
    Problem,
    Refused,
    TiercelError,
    Unavailable,
)
from tiercel.storage.keyvalues import KeyExpired

log = logging.getLogger(__name__)


class BadQuery(Refused):
    """A parameter of the query is missing or cannot be understood."""


class BadFilter(BadQuery):
    """A filter names a field that the resource does not have, or an operation that nobody knows."""


class BadBody(Refused):
    """The body of the request is not what its content type says."""


class BulkRefused(CallerError):
    """Some members of a bulk request cannot be worked on; nothing was done."""

    def __init__(self, message: str, invalids: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.invalids = invalids


class TooBusy(CallerError):
    """Too much waits already; try again later."""


class TooLarge(CallerError):
    """The body of the request is larger than allowed."""


_KINDS: Final[tuple[tuple[type[Exception], int, str], ...]] = (
    (BadFilter, 400, "Invalid query filters"),
    (BadQuery, 400, "Bad Request"),
    (BadBody, 400, "Bad Request"),
    (BulkRefused, 400, ""),
    (TooBusy, 429, "Too Many Requests"),
    (TooLarge, 413, "Content Too Large"),
    (KeyExpired, 410, "Resource has expired"),
    (NotFound, 404, "Not Found"),
    (Conflict, 409, "Conflict"),
    (InvalidFlow, 422, "Invalid entity"),
    (InvalidInput, 422, "Invalid entity"),
    (ExpressionError, 422, "Illegal argument"),
    (Refused, 422, "Illegal argument"),
    (FlowAuthorError, 422, "Invalid entity"),
    (Unavailable, 503, "Service Unavailable"),
    (msgspec.ValidationError, 422, "Invalid JSON"),
    (msgspec.DecodeError, 422, "Invalid JSON: The body cannot be read"),
    (SerializationException, 422, "Invalid JSON"),
)


def answer(error: Exception, href: str) -> tuple[int, dict[str, Any]]:
    """Return the status and the body for an error; what nobody foresaw is logged and answered without its details."""
    for kind, status, title in _KINDS:
        if isinstance(error, kind):
            body = _body(f"{title}: {error}" if title and not isinstance(error, BulkRefused) else str(error), href)
            if isinstance(error, InvalidFlow | InvalidInput):
                body["_embedded"] = {"errors": [_problem(problem) for problem in error.problems]}
            if isinstance(error, BulkRefused):
                body["invalids"] = error.invalids
            return status, body
    if isinstance(error, RecursionError):
        return 422, _body("Illegal argument: what was sent is nested too deeply to be read.", href)
    if isinstance(error, HTTPException):
        return error.status_code, _body(_sentence(error), href)
    log.error("a request failed: %s", error, exc_info=error, extra={"action": "request_failed", "href": href})
    detail = str(error) if isinstance(error, TiercelError) else "something went wrong; the log of the server says what."
    return 500, _body(f"Internal Server Error: {detail}", href)


def _body(message: str, href: str) -> dict[str, Any]:
    return {"message": message, "_links": {"self": {"href": href, "templated": False}}}


def _problem(problem: Problem) -> dict[str, Any]:
    data: dict[str, Any] = {"message": problem.message, "path": problem.path}
    if problem.line is not None:
        data |= {"line": problem.line, "column": problem.column}
    return data


def _sentence(error: HTTPException) -> str:
    match error.status_code:
        case 404:
            return "Page Not Found: the API has no such path."
        case 405:
            return "Method Not Allowed: the path exists, but not for this method."
        case _:
            return str(error.detail)
