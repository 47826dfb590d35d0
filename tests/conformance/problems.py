"""What a case calls an error's kind, and how an answer or an exception is held against it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import httpx

from tests.conformance.result import Mismatch
from tiercel.errors import (
    CallerError,
    Conflict,
    ExpressionError,
    FlowAuthorError,
    InvalidFlow,
    InvalidInput,
    NotFound,
    Refused,
    TaskFailed,
    TiercelError,
)

KINDS: Final[dict[str, tuple[type[BaseException], ...]]] = {
    "render": (ExpressionError,),
    "illegal_argument": (Refused, ExpressionError, TaskFailed, InvalidInput, FlowAuthorError, CallerError),
    "constraint_violation": (InvalidInput, InvalidFlow, TaskFailed),
    "input_output_validation": (InvalidInput, TaskFailed),
    "no_such_element": (NotFound, TaskFailed, ExpressionError),
    "file_not_found": (NotFound, TaskFailed, ExpressionError),
    "file_already_exists": (Conflict, TaskFailed),
    "kv_store": (Refused, NotFound, Conflict, TaskFailed),
    "io": (Refused, TaskFailed, NotFound, Conflict),
    "http_client": (TaskFailed,),
    "message_too_big": (Refused, TaskFailed),
    "secret_not_found": (NotFound, ExpressionError),
    "resource_expired": (NotFound, TaskFailed),
    "security": (Refused, ExpressionError, TaskFailed),
    "validation_error": (InvalidFlow, InvalidInput, Refused, TaskFailed),
    "task_exception": (TaskFailed,),
    "internal": (TiercelError,),
    "any": (Exception,),
}


def check_error(error: BaseException, wanted: Mapping[str, Any]) -> None:
    """Raise Mismatch unless the error is of the kind, and has the text, that a case names."""
    kind = wanted.get("kind")
    if kind is not None and not isinstance(error, KINDS.get(kind, (Exception,))):
        raise Mismatch(f"The error is {type(error).__name__} ({error}), expected one of kind '{kind}'")
    check_text(str(error), wanted)


def check_text(text: str, wanted: Mapping[str, Any]) -> None:
    """Raise Mismatch unless a message has the text that a case names."""
    if "equals" in wanted and text != wanted["equals"]:
        raise Mismatch(f"The message is {text!r}, expected {wanted['equals']!r}")
    parts = wanted.get("contains", [])
    for part in parts if isinstance(parts, list) else [parts]:
        if part not in text:
            raise Mismatch(f"The message is {text!r}, expected {part!r} in it")
    if "starts_with" in wanted and not text.startswith(wanted["starts_with"]):
        raise Mismatch(f"The message is {text!r}, expected it to start with {wanted['starts_with']!r}")
    if "lines_in_any_order" in wanted and sorted(text.splitlines()) != sorted(wanted["lines_in_any_order"]):
        raise Mismatch(f"The lines are {text.splitlines()}, expected {wanted['lines_in_any_order']} in any order")


def message_of(response: httpx.Response) -> str:
    """Return the message of an answer that reports an error."""
    try:
        data = json.loads(response.text)
    except ValueError:
        return response.text
    if isinstance(data, Mapping):
        return str(data.get("message") or data)
    return response.text


def check_status(response: httpx.Response, wanted: Any) -> None:
    """Raise Mismatch unless an answer has this status: a number, `ok` (2xx) or `error` (4xx, 5xx)."""
    status = response.status_code
    if wanted in (None, "ok"):
        good = 200 <= status < 300
    elif wanted == "error":
        good = status >= 400
    else:
        good = status == int(wanted)
    if not good:
        raise Mismatch(
            f"{response.request.method} {response.request.url.path} answered {status}, expected {wanted or 'ok'}: "
            f"{response.text[:400]}"
        )


def check_answer(response: httpx.Response, error: Mapping[str, Any] | None) -> None:
    """Raise Mismatch unless an action was accepted, or refused as a case says."""
    if error is None:
        check_status(response, "ok")
        return
    check_status(response, error.get("http_status", "error"))
    check_text(message_of(response), error)
