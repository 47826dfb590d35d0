"""Outputs of flows: rendered values get the types that were declared (reference 1.5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tiercel.errors import InvalidInput, Problem
from tiercel.expression.encryption import is_sealed
from tiercel.flowspec.inputs import STORED, Seal
from tiercel.flowspec.inputvalue import LIST_TYPES, as_list, cast, shown
from tiercel.model.flow import Dialect
from tiercel.model.input import FlowOutput, InputType


def typed_outputs(
    outputs: Iterable[FlowOutput],
    values: Mapping[str, Any],
    *,
    encrypt: Seal | None = None,
    dialect: Dialect = Dialect.V2,
) -> dict[str, Any]:
    """
    Return the values of declared outputs with their types, by id; those without a type stay as they are.

    Raises InvalidInput with the problems of all of them.
    """
    result: dict[str, Any] = {}
    problems: list[Problem] = []
    for output in outputs:
        value = values.get(output.id)
        if value is None:
            if output.required:
                problems.append(Problem(output.id, f"Missing required output:{output.id}"))
            result[output.id] = None
            continue
        try:
            result[output.id] = _typed(output, value, encrypt, dialect)
        except ValueError as error:
            problems.append(Problem(output.id, f"Invalid value for output `{output.id}`. Cause: {error}"))
    if problems:
        raise InvalidInput(problems)
    return result


def _typed(output: FlowOutput, value: Any, encrypt: Seal | None, dialect: Dialect) -> Any:
    if output.type is None:
        return value
    if output.type is InputType.FILE:
        if not isinstance(value, str) or not value.startswith(STORED):
            raise ValueError(f"Expected `FILE` but received `{shown(value)}`, which is not in the storage")
        return value
    if output.type is InputType.SECRET:
        if is_sealed(value):
            return value
        if encrypt is None:
            raise ValueError("Unable to use a `SECRET` input/output as encryption is not configured")
        return encrypt(shown(value))
    if output.type in LIST_TYPES and output.item_type is None:
        return as_list(value)
    return cast(output.type, value, item=output.item_type, dialect=dialect)
