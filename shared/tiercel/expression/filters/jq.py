"""
The filter jq.

The library runs a program to its end and cannot be stopped. Programs without recursion, ranges or huge numbers end
by themselves and run here; all others run in a process of their own, with a bound on time and memory.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import jq

from tiercel.expression import json_text
from tiercel.expression.failure import LimitExceeded
from tiercel.expression.printing import float_text, java_text, json_of
from tiercel.expression.runtime import Call
from tiercel.expression.signature import Args, Filter
from tiercel.expression.values import Float32, class_name, is_map, is_sequence

# A program may produce values without end.
RESULT_COUNT_MAX = 100_000
# Some 50 ms of it are the start of the process.
PROCESS_TIME_MAX_S = 5.0
# The environment of the process is no business of an expression. A definition in front also rules out `import`
# and `include`, which would read files.
_PRELUDE = "def env: {}; {} as $ENV | "
_UNBOUNDED = re.compile(r"\b(?:def|until|while|repeat|recurse|range|infinite|combinations)\b|\d{6}|\d[eE]")
_PROGRAM = """
import itertools, json, resource, sys, jq
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
given = json.load(sys.stdin)
try:
    found = jq.compile(given["program"]).input_text(given["text"])
    answer = {"results": list(itertools.islice(found, given["count"]))}
except ValueError as error:
    answer = {"error": str(error)}
json.dump(answer, sys.stdout)
"""


def _jq(value: Any, args: Args, call: Call) -> Any:
    if value is None:
        return None
    if "expression" not in args:
        raise call.fail("The 'jq' filter expects an argument 'expression'.")
    expression = java_text(args["expression"])
    text = value if isinstance(value, str) else json_of(value)
    try:
        # jq itself would take several JSON texts in a row; the filter takes one.
        json_text.loads(text)
        results = _apart(expression, text) if _UNBOUNDED.search(expression) else _here(expression, text)
    except UnicodeEncodeError:
        raise
    except ValueError as error:
        raise call.fail(f"Unable to parse jq value '{text[:200]}' with type '{class_name(value)}': {error}") from error
    if len(results) > RESULT_COUNT_MAX:
        raise LimitExceeded(f"The jq expression '{expression}' has more than {RESULT_COUNT_MAX} results.")
    singles = {float_text(item) for item in _float32s(value)}
    return _with_singles(results, singles) if singles else results


def _here(expression: str, text: str) -> list[Any]:
    return list(_compiled(expression).input_text(text))


@lru_cache(maxsize=200)
def _compiled(expression: str) -> Any:
    return jq.compile(_PRELUDE + expression)


def _apart(expression: str, text: str) -> list[Any]:
    given = json.dumps({"program": _PRELUDE + expression, "text": text, "count": RESULT_COUNT_MAX + 1})
    command = [sys.executable, "-I", "-c", _PROGRAM]
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=PROCESS_TIME_MAX_S, check=True, env={}
        )
    except subprocess.TimeoutExpired as error:
        raise LimitExceeded(
            f"The jq expression '{expression}' takes longer than {PROCESS_TIME_MAX_S:g} seconds."
        ) from error
    except subprocess.CalledProcessError as error:
        raise LimitExceeded(f"The jq expression '{expression}' needs more memory than is allowed.") from error
    answer = json.loads(done.stdout)
    if "error" in answer:
        raise ValueError(answer["error"])
    return list(answer["results"])


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


FILTERS: Mapping[str, Filter] = {"jq": Filter(_jq, ("expression",))}
