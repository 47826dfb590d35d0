"""Inputs of a request become typed inputs of an execution; files go to internal storage first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tiercel.errors import InvalidInput
from tiercel.flowspec.checks import failed_checks, resolve_behavior
from tiercel.flowspec.inputs import Hooks, InputAndValue, flow_context, nested_values, resolve
from tiercel.flowspec.inputvalue import as_data, data_of
from tiercel.model.flow import Check, CheckBehavior, Flow
from tiercel.model.input import Input, InputType
from tiercel.storage import uris
from tiercel.webserver.multipart import Form

if TYPE_CHECKING:
    from tiercel.webserver.context import ApiContext

_INPUT_NAMES: Final = {field.name: field.encode_name for field in msgspec.structs.fields(Input)}


async def typed(
    api: ApiContext, flow: Flow, execution_id: str, form: Form | None, labels: Mapping[str, str] | None = None
) -> dict[str, Any] | None:
    """
    Return the inputs of a new execution, None when the flow has none; raise InvalidInput with all problems.

    Their expressions see the labels that the execution will have; where they are not given, the flow's.
    """
    if not flow.inputs:
        return None
    given = await stored(api, flow, execution_id, flow.inputs, form) if form is not None else {}
    return await typed_values(api, flow, execution_id, flow.inputs, given, labels=labels)


async def typed_values(
    api: ApiContext,
    flow: Flow,
    execution_id: str,
    inputs: Sequence[Input],
    given: Mapping[str, Any],
    *,
    labels: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return values given their types; when they are refused, files of the execution's inputs are removed."""
    found = await resolved(api, flow, execution_id, inputs, given, labels=labels)
    try:
        return as_data(nested_values(found))
    except InvalidInput:
        if any(isinstance(value, str) and uris.is_uri(value) for value in given.values()):
            folder = f"{uris.execution(flow.namespace, flow.id, execution_id)}/inputs"
            await api.storage.delete_by_prefix(flow.tenant_id, folder)
        raise


async def resolved(
    api: ApiContext,
    flow: Flow,
    execution_id: str,
    inputs: Sequence[Input],
    given: Mapping[str, Any],
    *,
    labels: Mapping[str, str] | None = None,
    validate_only: bool = False,
) -> list[InputAndValue]:
    """Say of each input what becomes of it."""
    context = {**flow_context(flow, {"id": execution_id}, labels), **api.surroundings}
    seal = api.encryption.seal if api.encryption is not None else None
    return await api.input_expressions.rendered(
        flow.tenant_id,
        flow.dialect,
        lambda renderer: resolve(
            inputs,
            given,
            Hooks(renderer=renderer.render_data, seal=seal),
            context,
            dialect=flow.dialect,
            validate_only=validate_only,
        ),
    )


async def stored(api: ApiContext, flow: Flow, execution_id: str, inputs: Sequence[Input], form: Form) -> dict[str, Any]:
    """Store the uploads that are file inputs; return all values of the form, files as their URIs."""
    given: dict[str, Any] = dict(form.texts)
    names = file_inputs(inputs)
    for name, upload in form.files.items():
        if name in names:
            path = uris.input_file(flow.namespace, flow.id, execution_id, name, upload.file_name)
            given[name] = await api.storage.put(flow.tenant_id, path, upload.path)
        elif upload.size <= api.settings.text_part_max:
            given[name] = upload.path.read_text("utf-8", "replace")
    return given


def file_inputs(inputs: Sequence[Input], prefix: str = "") -> set[str]:
    """Return the names of the inputs that are files, those of forms with their form's name before a dot."""
    found: set[str] = set()
    for each in inputs:
        if each.inputs:
            found |= file_inputs(each.inputs, f"{prefix}{each.id}.")
        elif each.type is InputType.FILE:
            found.add(prefix + each.id)
    return found


async def judged(
    api: ApiContext,
    flow: Flow,
    execution_id: str,
    inputs: Sequence[Input],
    form: Form,
    *,
    labels: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Return for each input what it is, what it would be, and what is wrong with it."""
    names = file_inputs(inputs)
    given: dict[str, Any] = {**form.texts, **{name: f"kestra:///{name}" for name in form.files if name in names}}
    found = await resolved(api, flow, execution_id, inputs, given, labels=labels, validate_only=True)
    return [
        {
            "input": input_json(each.input),
            "value": data_of(each.value),
            "enabled": each.enabled,
            "isDefault": each.is_default,
            "errors": [{"message": problem.message} for problem in each.problems],
        }
        for each in found
    ]


def input_json(each: Input) -> dict[str, Any]:
    """Return an input as the API shows it: what is set, by its names in YAML."""
    return {
        _INPUT_NAMES[name]: value
        for name, value in ((name, getattr(each, name)) for name in _INPUT_NAMES)
        if value is not None and value != () and value is not False
    }


async def checked(
    api: ApiContext,
    flow: Flow,
    execution_id: str,
    values: Mapping[str, Any] | None,
    labels: Mapping[str, str] | None = None,
) -> tuple[list[Check], CheckBehavior]:
    """Return the flow's checks that do not hold for these inputs, and what they ask for together."""
    if not flow.checks:
        return [], CheckBehavior.CREATE_EXECUTION
    context = {**flow_context(flow, {"id": execution_id}, labels), **api.surroundings, "inputs": values or {}}
    failed = await api.expressions.rendered(
        flow.tenant_id, flow.dialect, lambda renderer: failed_checks(flow.checks, renderer.render_data, context)
    )
    return failed, resolve_behavior(failed)
