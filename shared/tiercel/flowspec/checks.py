"""Checks of a flow: questions asked of the inputs before an execution is created (reference 1.8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from tiercel.errors import ExpressionError
from tiercel.expression.truth import value_means_true
from tiercel.flowspec.inputs import Renderer, render_all
from tiercel.model.flow import Check, CheckBehavior, CheckStyle

_STRICTEST_FIRST: Final = (CheckBehavior.BLOCK_EXECUTION, CheckBehavior.FAIL_EXECUTION, CheckBehavior.CREATE_EXECUTION)


def resolve_behavior(failed: Iterable[Check]) -> CheckBehavior:
    """Return what the checks that failed ask for, the strictest of them; nothing failed is CREATE_EXECUTION."""
    asked = {check.behavior for check in failed}
    return next((behavior for behavior in _STRICTEST_FIRST if behavior in asked), CheckBehavior.CREATE_EXECUTION)


def failed_checks(checks: Iterable[Check], renderer: Renderer, context: Mapping[str, Any]) -> list[Check]:
    """Return the checks that do not hold, their messages rendered; one that cannot be evaluated blocks."""
    failed = []
    for check in checks:
        try:
            if not value_means_true(render_all(check.when, renderer, context)):
                message = render_all(check.message, renderer, context)
                failed.append(msgspec.structs.replace(check, message=str(message)))
        except ExpressionError as error:
            failed.append(
                Check(
                    when=check.when,
                    message=f"Failed to evaluate check condition. Cause: {error}",
                    style=CheckStyle.ERROR,
                    behavior=CheckBehavior.BLOCK_EXECUTION,
                )
            )
    return failed
