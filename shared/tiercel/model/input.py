"""
Inputs and outputs of flows: what callers give, and what a flow answers (reference 1.3, 1.5).

Bounds (`min`, `max`, `after`, `before`) and defaults stay as written; `tiercel.flowspec.inputvalue` gives them a type.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

from msgspec import Meta

from tiercel.model.property import DYNAMIC, JSON_TEXT, NOT_BLANK, REMOVED, Aliases, Node

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
    ION = "ION"
    URI = "URI"
    SECRET = "SECRET"
    ARRAY = "ARRAY"
    EMAIL = "EMAIL"
    FORM = "FORM"
    REUSABLE_INPUTS = "REUSABLE_INPUTS"


REMOVED_INPUT_TYPES: Final = {InputType.ENUM: InputType.SELECT, InputType.BOOLEAN: InputType.BOOL}
"""Types that 2.0 no longer has: a flow that uses them is of the 1.x dialect."""


class DependsOn(Node, frozen=True, kw_only=True):
    """When an input exists: all `inputs` are enabled, and `condition` renders to true."""

    inputs: tuple[str, ...] = ()
    """Inputs that must be asked for themselves."""
    condition: Annotated[str | None, DYNAMIC] = None
    """What must be true of them."""


class Input(Node, frozen=True, kw_only=True):
    """One input of a flow. Fields that its type does not have are a problem found by validation."""

    id: Annotated[str, NOT_BLANK, Meta(pattern=INPUT_ID), Aliases("name", deprecated=True, removed=True)]
    """The input's name; a dot in it makes a map."""
    type: InputType
    """What kind of value it is."""
    description: str | None = None
    """What it is for."""
    display_name: Annotated[str, Meta(max_length=64)] | None = None
    """How a form calls it."""
    required: bool = True
    """Whether an execution can start without it."""
    defaults: Annotated[Any, DYNAMIC] = None
    """The value when none is given."""
    prefill: Annotated[Any, DYNAMIC] = None
    """What a form shows at first; it may be cleared."""
    depends_on: DependsOn | None = None
    """When the input is asked for at all."""
    validator: str | None = None
    """A regular expression for the whole text."""
    values: tuple[Any, ...] | None = None
    """What may be chosen, for `SELECT` and `MULTISELECT`."""
    options: tuple[Any, ...] | None = None
    expression: Annotated[str | None, DYNAMIC] = None
    """Gives what may be chosen."""
    allow_custom_value: bool = False
    """True when something else than the choices may be given."""
    auto_select_first: bool = False
    """True when the first choice is the default."""
    is_radio: bool = False
    """How a form shows the choices."""
    item_type: InputType | None = None
    """The kind of each item, for `ARRAY` and `MULTISELECT`."""
    json_schema: Annotated[Any, DYNAMIC, JSON_TEXT] = None
    min: int | float | str | None = None
    """The least value."""
    max: int | float | str | None = None
    """The greatest value."""
    after: str | None = None
    """The earliest date or time."""
    before: str | None = None
    """The latest date or time."""
    extension: Annotated[str | None, REMOVED] = None
    accept: str | tuple[str, ...] | None = None
    """Kinds of files that a form offers, for `FILE`."""
    allowed_file_extensions: tuple[str, ...] | None = None
    """How the names of files must end, for `FILE`."""
    inputs: tuple[Input, ...] = ()
    """The inputs of a `FORM`."""


class FlowOutput(Node, frozen=True, kw_only=True):
    """One output of a flow: `value` is rendered at the end, and typed when `type` is given."""

    id: Annotated[str, NOT_BLANK, Meta(pattern=INPUT_ID)]
    """The output's name."""
    value: Annotated[Any, DYNAMIC]
    """Rendered when the execution ends."""
    type: InputType | None = None
    """What kind of value it is; without it as it comes."""
    item_type: InputType | None = None
    description: str | None = None
    display_name: Annotated[str, Meta(max_length=64)] | None = None
    required: bool | None = None
    """Whether the execution fails when there is no value."""
