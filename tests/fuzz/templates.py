"""
`python -m tests.fuzz.templates [--count 1000000] [--seed 1]`: random templates against the expression engine.

Each must render to a value or raise ExpressionError, in time, and show nothing of Python: no attribute, no address, no
type that is not one of the language. `make test` tries a few thousand; who changes the engine tries a million.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.conformance.expression_world import World
from tiercel.errors import ExpressionError
from tiercel.expression import Engine, Limits, Renderer
from tiercel.expression.analysis import reach

COUNT_DEFAULT: Final = 1_000_000
SAY_EVERY: Final = 20_000
SECONDS_MAX: Final = 3.0
"""One template may not take longer; its own limit is a second."""
LIMITS: Final = Limits(step_count_max=5_000, time_max_s=1.0, size_max=200_000)
SHOWN_PYTHON: Final = re.compile(
    r"<(?:function|class|module|bound|built-in|method|generator|[\w.]+ object at)|0x7f[0-9a-f]{6}"
)
ALLOWED: Final = (
    str, bool, int, float, Decimal, bytes, datetime, date, clock_time, timedelta, Mapping, list, tuple, set, frozenset,
)  # fmt: skip
CONTEXT: Final[dict[str, Any]] = {
    "a": 1,
    "b": {"c": "{{ a }}", "d-e": [1, 2], "items": "own", "__class__": "own"},
    "list": [3, "x", None, {"k": 1.5}, [], {}],
    "text": "2024-01-01T00:00:00Z",
    "long": "é\u0000\ud800x" * 50,
    "big": 2**70,
    "tiny": Decimal("1E-400"),
    "nan": float("nan"),
    "when": datetime(2024, 2, 29, 23, 59, tzinfo=UTC),
    "day": date(1, 1, 1),
    "span": timedelta(days=-1),
    "bytes": b"\xe0\x01\x00\xea\xff",
    "deep": {"x": {"x": {"x": {"x": [[[[["bottom"]]]]]}}}},
    "json": '{"a": [1, {"b": null}]}',
    "flow": {"id": "f", "namespace": "company.team"},
    "execution": {"id": "e"},
    "taskrun": {"value": "1"},
    "parents": [{"taskrun": {"value": "2"}}],
    "outputs": {"t": {"1": {"value": "x"}}},
    "envs": {"x": "y"},
}
PYTHON: Final = (
    "__class__", "__mro__", "__subclasses__", "__globals__", "__init__", "__dict__", "mro", "items", "keys", "append",
    "format", "format_map", "gi_frame", "_data", "pop", "read", "isoformat", "as_tuple",
)  # fmt: skip
ATOMS: Final = (
    *CONTEXT, *PYTHON, "nope", "loop", "1", "0", "2.5", "-1", "1L", "99999999999999999999", "'s'", '"#{a}"', "''",
    "'{{ a }}'", "'%s{0.__class__}'", "'(a+)+$'", "'yyyy-MM-dd'", "'MONTHS'", "'.a[]?'", "null", "true", "false", "[]",
    "{}", "[1, 'x', null]", "{'k': 1, 'l': [2]}",
)  # fmt: skip
OPERATORS: Final = (
    "+", "-", "*", "/", "%", "~", "==", "!=", ">", "<", ">=", "<=", "and", "or", "??", "???", "..", "contains",
    "matches", "isIn", "isNotIn", "equals",
)  # fmt: skip
NOISE: Final = "{}%#-'\"|()[]., ab1=\\?:~\n\u0000é_@$&;"


class Templates:
    """Makes random templates of one dialect's names."""

    def __init__(self, random: Random, engine: Engine) -> None:
        self._random = random
        self._filters = sorted(engine.filters)
        self._functions = sorted(set(engine.functions) - {"http", "subflow"})
        self._tests = sorted(engine.tests)

    def template(self) -> str:
        """Return a template: an expression, tags around some, or one of these with characters changed."""
        random, make = self._random, self.expression
        shape = random.randrange(10)
        if shape < 4:
            text = f"{{{{ {make()} }}}}"
        elif shape == 4:
            text = f"{{% for i in {make()} %}}{{{{ {make()} }}}}{{{{ loop.index }}}}{{% endfor %}}"
        elif shape == 5:
            text = f"{{% if {make()} %}}x{{% elseif {make()} %}}y{{% else %}}{{{{ {make()} }}}}{{% endif %}}"
        elif shape == 6:
            text = f"{{% set v = {make()} %}}{{{{ v }}}}{{{{ {make()} }}}}"
        elif shape == 7:
            text = f"{{% macro m(x, y={make()}) %}}{{{{ x ~ y }}}}{{% endmacro %}}{{{{ m({make()}) }}}}"
        elif shape == 8:
            text = f"{{% filter {random.choice(self._filters)} %}}{{{{ {make()} }}}}{{% endfilter %}}"
        else:
            return "{{" + "".join(random.choices(NOISE, k=random.randrange(40)))
        return self._changed(text) if random.random() < 0.2 else text

    def expression(self, depth: int = 0) -> str:
        """Return a random expression."""
        random = self._random
        if depth >= 4 or random.random() < 0.3:
            return random.choice(ATOMS)
        inner = [self.expression(depth + 1) for _ in range(3)]
        match random.randrange(8):
            case 0 | 1:
                return f"{inner[0]} {random.choice(OPERATORS)} {inner[1]}"
            case 2:
                return f"{inner[0]} | {random.choice(self._filters)}"
            case 3:
                return f"{inner[0]} | {random.choice(self._filters)}({', '.join(inner[1 : random.randrange(2, 4)])})"
            case 4:
                return f"{random.choice(self._functions)}({', '.join(inner[: random.randrange(4)])})"
            case 5:
                return f"{inner[0]} is {random.choice(('', 'not '))}{random.choice(self._tests)}"
            case 6:
                return f"({inner[0]} ? {inner[1]} : {inner[2]})"
            case _:
                return f"{inner[0]}{random.choice((f'[{inner[1]}]', f'.{random.choice(PYTHON)}'))}"

    def _changed(self, text: str) -> str:
        random = self._random
        for _ in range(random.randrange(1, 4)):
            at = random.randrange(len(text) + 1)
            text = text[:at] + random.choice(("", random.choice(NOISE))) + text[at + random.randrange(3) :]
        return text


class Finding(Exception):
    """A template did what none may do."""


def judge(renderer: Renderer, text: str) -> str:
    """Render a template in every way; return how it ended, raise Finding for what must not be."""
    started = time.process_time()  # of this process: others on the machine are not its fault
    ended = "failed"
    actions: tuple[Callable[[], Any], ...] = (
        lambda: renderer.render(text, CONTEXT),
        lambda: renderer.render_typed(text, CONTEXT),
        lambda: renderer.render(text, CONTEXT, recursive=True),
        lambda: reach(text),
    )
    for action in actions:
        try:
            value = action()
        except ExpressionError as error:
            value = str(error)
        except BaseException as error:  # RecursionError too: any error but the template's own is a finding
            raise Finding(f"{type(error).__name__}: {error}") from error
        else:
            ended = "rendered"
        if action is not actions[-1]:
            _check(value)
    if time.process_time() - started > SECONDS_MAX:
        raise Finding(f"It took {time.process_time() - started:.1f} s")
    return ended


def _check(value: Any, depth: int = 0) -> None:
    if value is not None and not isinstance(value, ALLOWED):
        raise Finding(f"A {type(value)} came out")
    if isinstance(value, str) and SHOWN_PYTHON.search(value):
        raise Finding(f"Python shows in {value[:200]!r}")
    if depth < 5 and isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            _check(item, depth + 1)


def tried(count: int, seed: int, say: Callable[[str], None] | None = None) -> tuple[Counter[str], list[str]]:
    """Try so many templates; return how they ended, and what was found (at most ten)."""
    random = Random(seed)
    ends: Counter[str] = Counter()
    found: list[str] = []
    kits = []
    for dialect in ("1.x", "2.x"):
        engine = Engine(dialect=dialect, limits=LIMITS, cache_size=16)
        kits.append((Renderer(engine, World(Path(), {}, {}, dialect)), Templates(random, engine)))
    for number in range(count):
        renderer, templates = kits[number % 2]
        text = templates.template()
        try:
            ends[judge(renderer, text)] += 1
        except Finding as finding:
            ends["found"] += 1
            found.append(f"{text!r}: {finding}")
            if len(found) == 10:
                break
        if say is not None and number % SAY_EVERY == SAY_EVERY - 1:
            say(f"{number + 1} templates: {dict(ends)} {found}")
    return ends, found


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.templates", description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT_DEFAULT)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    started = time.monotonic()
    ends, found = tried(options.count, options.seed, lambda line: print(line, flush=True))
    seconds = time.monotonic() - started
    print(f"{sum(ends.values())} templates in {seconds:.0f} s, seed {options.seed}: {dict(ends)}")
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
