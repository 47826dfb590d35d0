"""
Expressions as they are shown to people: what can be known without asking the world, and nothing else.

Only functions that compute are called; a secret shows its name, and a text that needs anything more stays as it was
written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tiercel.errors import ExpressionError
from tiercel.expression.host import Host
from tiercel.expression.printing import java_text
from tiercel.expression.rendering import Dialect, Engine, Renderer
from tiercel.expression.runtime import Call
from tiercel.expression.signature import Args, Function

SHOWN: Final = frozenset(
    {"dayOfMonth", "dayOfWeek", "fromIon", "fromJson", "hourOfDay", "isDateAfter", "isDateBefore", "isDateBetween"}
    | {"isDayWeekInMonth", "isLastWorkingDay", "isPublicHoliday", "isWeekend", "json", "max", "min", "monthOfYear"}
    | {"range", "yaml"}
)
"""Functions that only compute."""


def _secret_name(args: Args, call: Call) -> str:
    return f"[secret: {java_text(call.required(args, 'key'))}]"


def display_engine(dialect: Dialect) -> Engine:
    """Return an engine that knows only what may be shown."""
    engine = Engine(dialect=dialect)
    functions = {name: function for name, function in engine.functions.items() if name in SHOWN}
    engine.functions = {**functions, "secret": Function(_secret_name, ("key", "namespace", "subkey", "full"))}
    return engine


def shown(engine: Engine, host: Host, text: str, context: Mapping[str, Any]) -> str:
    """Return a text with its expressions as people may see them, or unchanged when one of them cannot be known."""
    try:
        return Renderer(engine, host, keep_raw=True).render(text, context)
    except ExpressionError:
        return text
