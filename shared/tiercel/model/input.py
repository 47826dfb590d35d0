"""
Inputs and outputs of flows: what callers give, and what a flow answers (reference 1.3, 1.5).

Bounds (`min`, `max`, `after`, `before`) and defaults stay as written; `tiercel.flowspec.inputvalue` gives them a type.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

from msgspec import Meta

from tiercel.model.property import DYNAMIC, NOT_BLANK, REMOVED, Aliases, Node

INPUT_ID: Final = r"[a-zA-Z0-9][.a-zA-Z0-9_-]*"


class InputType(StrEnum):
    STRING = "STRING"
    SELECT = "SELECT"
    ENUM = "ENUM"
    MULTISELECT = "MULTISELECT"
    INT = "INT"
    FLOAT = "FLOAT"
    BOOLEAN = "BOOLEAN"
    BOOL = "BOOL"
    DATETIME = "DATETIME"
    DATE = "DATE"
    TIME = "TIME"
    DURATION = "DURATION"
    FILE = "FILE"
    JSON = "JSON"
    YAML = "YAML"
    URI = "URI"
    SECRET = "SECRET"
    ARRAY = "ARRAY"
    EMAIL = "EMAIL"
    FORM = "FORM"
    REUSABLE_INPUTS = "REUSABLE_INPUTS"


REMOVED_INPUT_TYPES: Final = frozenset({InputType.ENUM, InputType.BOOLEAN})
"""Types that 2.0 no longer has: a flow that uses them is of the 1.x dialect."""


class DependsOn(Node, frozen=True, kw_only=True):
    """When an input exists: all `inputs` are enabled, and `condition` renders to true."""

    inputs: tuple[str, ...] = ()
    condition: Annotated[str | None, DYNAMIC] = None


class Input(Node, frozen=True, kw_only=True):
    """One input of a flow. Fields that its type does not have are a problem found by validation."""

    id: Annotated[str, NOT_BLANK, Meta(pattern=INPUT_ID), Aliases("name", deprecated=True, removed=True)]
    type: InputType
    description: str | None = None
    display_name: Annotated[str, Meta(max_length=64)] | None = None
    required: bool = True
    defaults: Annotated[Any, DYNAMIC] = None
    prefill: Annotated[Any, DYNAMIC] = None
    depends_on: DependsOn | None = None
    validator: str | None = None
    values: tuple[Any, ...] | None = None
    options: tuple[Any, ...] | None = None
    expression: Annotated[str | None, DYNAMIC] = None
    allow_custom_value: bool = False
    auto_select_first: bool = False
    is_radio: bool = False
    item_type: InputType | None = None
    json_schema: Annotated[Any, DYNAMIC] = None
    min: int | float | str | None = None
    max: int | float | str | None = None
    after: str | None = None
    before: str | None = None
    extension: Annotated[str | None, REMOVED] = None
    accept: str | tuple[str, ...] | None = None
    allowed_file_extensions: tuple[str, ...] | None = None
    inputs: tuple[Input, ...] = ()


class FlowOutput(Node, frozen=True, kw_only=True):
    """One output of a flow: `value` is rendered at the end, and typed when `type` is given."""

    id: Annotated[str, NOT_BLANK, Meta(pattern=INPUT_ID)]
    value: Annotated[Any, DYNAMIC]
    type: InputType | None = None
    item_type: InputType | None = None
    description: str | None = None
    display_name: Annotated[str, Meta(max_length=64)] | None = None
    required: bool | None = None
