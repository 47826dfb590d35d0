"""Filters that write a value in a format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiercel.expression import ion, yaml_text
from tiercel.expression.printing import json_of
from tiercel.expression.runtime import Call
from tiercel.expression.signature import Args, Filter


def _to_json(value: Any, args: Args, call: Call) -> Any:
    return json_of(value)


def _to_ion(value: Any, args: Args, call: Call) -> Any:
    return ion.dumps(value)


def _yaml(value: Any, args: Args, call: Call) -> Any:
    return "null" if value is None else yaml_text.dumps(value)


FILTERS: Mapping[str, Filter] = {
    "json": Filter(_to_json),
    "toIon": Filter(_to_ion),
    "toJson": Filter(_to_json),
    "yaml": Filter(_yaml),
}
