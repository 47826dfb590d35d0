"""Filters that write a value in a format, and jq."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import jq

from tiercel.expression import ion, yaml_text
from tiercel.expression.printing import float_text, java_text, json_of
from tiercel.expression.runtime import Call
from tiercel.expression.signature import Args, Filter
from tiercel.expression.values import Float32, class_name, is_map, is_sequence

# A jq program may produce values without end.
_RESULTS_MAX = 100_000
# The environment of the process is no business of an expression. A definition in front also rules out `import`
# and `include`, which would read files.
_PRELUDE = "def env: {}; "


def _to_json(value: Any, args: Args, call: Call) -> Any:
    return json_of(value)


def _to_ion(value: Any, args: Args, call: Call) -> Any:
    return ion.dumps(value)


def _yaml(value: Any, args: Args, call: Call) -> Any:
    return "null" if value is None else yaml_text.dumps(value)


def _jq(value: Any, args: Args, call: Call) -> Any:
    if value is None:
        return None
    if "expression" not in args:
        raise call.fail("The 'jq' filter expects an argument 'expression'.")
    expression = java_text(args["expression"])
    text = value if isinstance(value, str) else json_of(value)
    singles = {float_text(item) for item in _float32s(value)}
    results: list[Any] = []
    try:
        # jq itself would take several JSON texts in a row; the filter takes one.
        json.loads(text)
        for result in _program(expression).input_text(text):
            results.append(_with_singles(result, singles) if singles else result)
            if len(results) > _RESULTS_MAX:
                raise call.fail(f"The jq expression '{expression}' has more than {_RESULTS_MAX} results.")
    except ValueError as error:
        raise call.fail(f"Unable to parse jq value '{text[:200]}' with type '{class_name(value)}': {error}") from error
    return results


@lru_cache(maxsize=200)
def _program(expression: str) -> Any:
    return jq.compile(_PRELUDE + expression, args={"ENV": {}})


def _float32s(value: Any) -> Iterator[Float32]:
    if isinstance(value, Float32):
        yield value
    elif is_map(value):
        for item in value.values():
            yield from _float32s(item)
    elif is_sequence(value):
        for item in value:
            yield from _float32s(item)


def _with_singles(value: Any, singles: set[str]) -> Any:
    """Give numbers that were single-precision before they went through JSON that type again."""
    if isinstance(value, float) and float_text(value) in singles:
        return Float32(value)
    if isinstance(value, dict):
        return {key: _with_singles(item, singles) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_singles(item, singles) for item in value]
    return value


FILTERS: Mapping[str, Filter] = {
    "jq": Filter(_jq, ("expression",)),
    "json": Filter(_to_json),
    "toIon": Filter(_to_ion),
    "toJson": Filter(_to_json),
    "yaml": Filter(_yaml),
}
