"""The rules of the declaration of inputs: which properties belong to which type, and what they may say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from tiercel.expression import java_regex
from tiercel.flowspec.findings import Findings
from tiercel.flowspec.inputbound import violations
from tiercel.flowspec.inputvalue import cast
from tiercel.flowspec.yaml import Path
from tiercel.model.flow import Dialect
from tiercel.model.input import Input, InputType
from tiercel.model.property import is_expression

_OF_TYPE: Final[dict[InputType, frozenset[str]]] = {
    InputType.STRING: frozenset({"validator"}),
    InputType.SECRET: frozenset({"validator"}),
    InputType.SELECT: frozenset({"values", "expression", "allow_custom_value", "auto_select_first", "is_radio"}),
    InputType.ENUM: frozenset({"values"}),
    InputType.MULTISELECT: frozenset(
        {"values", "options", "expression", "allow_custom_value", "auto_select_first", "item_type"}
    ),
    InputType.INT: frozenset({"min", "max"}),
    InputType.FLOAT: frozenset({"min", "max"}),
    InputType.DURATION: frozenset({"min", "max"}),
    InputType.DATETIME: frozenset({"after", "before"}),
    InputType.DATE: frozenset({"after", "before"}),
    InputType.TIME: frozenset({"after", "before"}),
    InputType.FILE: frozenset({"extension", "accept", "allowed_file_extensions"}),
    InputType.JSON: frozenset({"json_schema"}),
    InputType.ARRAY: frozenset({"item_type"}),
    InputType.FORM: frozenset({"inputs"}),
}
_SPECIAL: Final[dict[str, Any]] = {
    "validator": None,
    "values": None,
    "options": None,
    "expression": None,
    "allow_custom_value": False,
    "auto_select_first": False,
    "is_radio": False,
    "item_type": None,
    "json_schema": None,
    "min": None,
    "max": None,
    "after": None,
    "before": None,
    "extension": None,
    "accept": None,
    "allowed_file_extensions": None,
    "inputs": (),
}
_NO_ITEM: Final = (
    InputType.ARRAY,
    InputType.SECRET,
    InputType.MULTISELECT,
    InputType.SELECT,
    InputType.FORM,
    InputType.REUSABLE_INPUTS,
)
_FILE_DEFAULTS: Final = ("file://", "nsfile://")

Say = Callable[[str], None]


def check_inputs(inputs: Sequence[Input], path: Path, dialect: Dialect, findings: Findings) -> None:
    """Check each input of a flow or of a pause."""
    for at, each in enumerate(inputs):
        _check_input(each, (*path, at), dialect, findings)
        for index, child in enumerate(each.inputs):
            _check_input(child, (*path, at, "inputs", index), dialect, findings)
            if child.type is InputType.FORM:
                findings.at(
                    (*path, at, "inputs", index),
                    "A FORM input cannot contain another FORM input; grouping is limited to a single level.",
                )


def _check_input(each: Input, path: Path, dialect: Dialect, findings: Findings) -> None:
    def say(message: str) -> None:
        findings.at(path, message)

    for name, absent in _SPECIAL.items():
        if getattr(each, name) != absent and name not in _OF_TYPE.get(each.type, ()):
            written = "".join(part.title() if at else part for at, part in enumerate(name.split("_")))
            findings.at((*path, written), f"Unrecognized field \"{written}\" of an input of type '{each.type}'")
    if each.defaults is not None and not each.required and dialect is Dialect.V2:
        message = "Inputs with a default value must be required, since the default is always applied."
        findings.of_newer_rule(path, message)
    _check_defaults(each, dialect, say)
    match each.type:
        case InputType.ARRAY | InputType.MULTISELECT:
            _check_items(each, say)
        case InputType.FORM:
            if not each.inputs:
                say(f"{each.id}: a FORM input needs `inputs`")
        case _:
            pass
    if each.type in (InputType.SELECT, InputType.ENUM, InputType.MULTISELECT):
        _check_choices(each, say)
    if each.validator is not None:
        refusal = pattern_problem(each.validator)
        if refusal is not None:
            findings.at((*path, "validator"), refusal)
    for name in ("min", "max", "after", "before"):
        bound = getattr(each, name)
        if bound is not None and name in _OF_TYPE.get(each.type, ()):
            _check_readable(each.type, bound, lambda cause, name=name: findings.at((*path, name), cause))  # type: ignore[misc]  # binds now
    _check_order(each, say)


def check_defaults(inputs: Iterable[Input], path: Path, dialect: Dialect, findings: Findings) -> None:
    """
    Doubt each default that the input's own bounds refuse.

    The flow can be saved all the same, as in Kestra: its executions start when they are given another value.
    """
    for at, each in enumerate(inputs):
        if each.type is InputType.FORM:
            check_defaults(each.inputs, (*path, at, "inputs"), dialect, findings)
            continue
        if each.defaults is None or each.type is InputType.FILE or _holds_expression(each.defaults):
            continue
        try:
            value = cast(each.type, each.defaults, item=each.item_type, dialect=dialect)
            causes = list(violations(each, value, dialect))
        except ValueError as error:
            causes = [str(error)]
        for cause in causes:
            message = f"The default of the input '{each.id}' will be refused when it is used: {cause}"
            findings.doubt_of_flow((*path, at, "defaults"), message)


def _holds_expression(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_expression(part) for part in value.values())
    if isinstance(value, list | tuple):
        return any(_holds_expression(part) for part in value)
    return isinstance(value, str) and is_expression(value)


def pattern_problem(pattern: str) -> str | None:
    """Tell what is wrong with a regular expression, None when nothing is."""
    try:
        java_regex.compiled(pattern)
    except ValueError:
        return f"invalid pattern [{pattern}]"
    return None


def _check_readable(kind: InputType, value: Any, say: Say) -> None:
    try:
        cast(kind, value)
    except ValueError as error:
        say(str(error))


def _check_order(each: Input, say: Say) -> None:
    """Say it when no value at all lies within the bounds."""
    for low_name, high_name in (("min", "max"), ("after", "before")):
        low, high = getattr(each, low_name), getattr(each, high_name)
        if low is None or high is None or low_name not in _OF_TYPE.get(each.type, ()):
            continue
        try:
            crossed = cast(each.type, low) > cast(each.type, high)
        except ValueError:
            continue  # said of the bound itself
        if crossed:
            say(f"{each.id}: no value can be between `{low_name}` {low} and `{high_name}` {high}")


def _check_defaults(each: Input, dialect: Dialect, say: Say) -> None:
    if each.defaults is not None and each.prefill is not None:
        say("Inputs with a default value cannot also have a prefill.")
    if each.type is InputType.FORM and (each.defaults is not None or each.prefill is not None):
        say(f"{each.id}: A FORM input groups other inputs and cannot declare a default value or a prefill.")
        return
    if each.defaults is None or (isinstance(each.defaults, str) and is_expression(each.defaults)):
        return
    if each.type is InputType.FILE:
        if not str(each.defaults).startswith(_FILE_DEFAULTS):
            say(f"{each.id}: inputs of type 'FILE' only support `defaults` as local files using a file URI")
        return
    if each.type in (InputType.JSON, InputType.YAML, InputType.ION, InputType.SECRET, InputType.REUSABLE_INPUTS):
        return
    if each.defaults != "" or each.type in (InputType.STRING, InputType.SELECT, InputType.ENUM, InputType.EMAIL):
        try:
            cast(each.type, each.defaults, item=each.item_type, dialect=dialect)
        except ValueError as error:
            say(f"{each.id}: the default cannot be used: {error}")


def _check_items(each: Input, say: Say) -> None:
    if each.item_type is None:
        if each.type is InputType.ARRAY:
            say(f"{each.id}: `itemType` cannot be null")
    elif each.item_type in _NO_ITEM:
        say(f"{each.id}: `itemType` cannot be {each.item_type}")


def _check_choices(each: Input, say: Say) -> None:
    listed = [name for name in ("values", "options", "expression") if getattr(each, name) is not None]
    if not listed:
        names = "`values`" if each.type is InputType.ENUM else "`values` or `expression`"
        say(f"{each.id}: {names} must be set for inputs of type '{each.type}'")
    elif len(listed) > 1:
        say(f"{each.id}: only one of {', '.join(f'`{name}`' for name in listed)} can be set")
