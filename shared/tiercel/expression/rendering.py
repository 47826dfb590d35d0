"""
The public face of the package: an Engine that holds compiled templates, and a Renderer that evaluates them.

One engine serves a whole process, for one dialect; a renderer is cheap and belongs to one host.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, Literal

from tiercel.expression import filters, functions, program, tests, typed
from tiercel.expression.failure import EvaluationFailed, LimitExceeded
from tiercel.expression.host import Host
from tiercel.expression.printing import weigh
from tiercel.expression.runtime import Frame, Limits, Meter, Output, TextOutput, TypedOutput
from tiercel.expression.values import is_map

Dialect = Literal["1.x", "2.x"]

# Kestra's default for kestra.variables.cache-size.
CACHE_SIZE: Final = 1000
# Longer texts are scripts, mostly rendered once; they would only fill memory.
CACHED_TEXT_MAX: Final = 64 * 1024
_RAW = re.compile(r"\{%-*\s*raw\s*-*%\}(.*?)\{%-*\s*endraw\s*-*%\}", re.DOTALL)


class Engine:
    """The language in one dialect: its filters, tests and functions, its bounds, and the compiled templates."""

    def __init__(
        self,
        *,
        dialect: Dialect = "1.x",
        limits: Limits | None = None,
        recursive: bool = False,
        cache_size: int = CACHE_SIZE,
    ) -> None:
        self.dialect = dialect
        self.limits = limits or Limits()
        self.recursive = recursive
        self.filters = filters.of(dialect)
        self.tests = tests.TESTS
        self.functions = functions.of(dialect, recursive=recursive)
        self._compiled = lru_cache(maxsize=cache_size)(program.compiled)

    def program(self, text: str) -> program.Program:
        """Return the compiled text; raise ParseFailed when it is no template."""
        try:
            if len(text) > CACHED_TEXT_MAX:
                return program.compiled(text)
            return self._compiled(text)
        except RecursionError as error:
            raise LimitExceeded("The template is nested too deeply.") from error


class Renderer:
    """Renders texts and values with an engine, on behalf of a host."""

    __slots__ = ("engine", "host", "keep_raw", "mask_secrets")

    def __init__(self, engine: Engine, host: Host, *, mask_secrets: bool = False, keep_raw: bool = False) -> None:
        self.engine = engine
        self.host = host
        # Previews show ****** in place of secrets.
        self.mask_secrets = mask_secrets
        # The tags around a text that is not to be rendered stay when it is rendered again elsewhere.
        self.keep_raw = keep_raw

    def render(self, text: str, context: Mapping[str, Any], *, recursive: bool | None = None) -> str:
        """Return the text with its expressions replaced; a text without `{` comes back as it is."""
        if "{" not in text:
            return text
        return self._rendered(text, context, recursive, Meter(self.engine.limits)) or ""

    def render_typed(self, text: str, context: Mapping[str, Any]) -> Any:
        """Return the value of a lone expression with its type; several pieces are joined."""
        if "{" not in text:
            return text
        output = TypedOutput()
        self._run(text, context, output, Meter(self.engine.limits))
        value = typed.joined(output.values, self.engine.dialect)
        return _without_raw(value) if isinstance(value, str) else value

    def render_data(self, text: str, context: Mapping[str, Any]) -> Any:
        """Return the value of a lone expression with its type; of several pieces the text, as `render` joins them."""
        if "{" not in text:
            return text
        output, meter = TypedOutput(), Meter(self.engine.limits)
        self._run(text, context, output, meter)
        found = typed.pieces(output.values, self.engine.dialect)
        if len(found) == 1 and not isinstance(found[0], str):
            return found[0]
        joined = TextOutput(meter)
        for value in output.values:
            joined.write(value)
        return _without_raw(joined.text()) if output.values else None

    def render_value(self, value: Any, context: Mapping[str, Any], *, recursive: bool | None = None) -> Any:
        """Render all texts in maps, with their keys, and in lists; anything else comes back as it is."""
        if isinstance(value, str) and "{" not in value:
            return value
        return self.rendered_value(value, context, recursive, Meter(self.engine.limits))

    def rendered_value(self, value: Any, context: Mapping[str, Any], recursive: bool | None, meter: Meter) -> Any:
        """Render a value as part of a rendering that is under way."""
        weigh(value)
        if isinstance(value, str):
            return self._rendered(value, context, recursive, meter) or ""
        return self._rendered_items(value, context, recursive, meter)

    def _rendered_items(self, value: Any, context: Mapping[str, Any], recursive: bool | None, meter: Meter) -> Any:
        if isinstance(value, str):
            text = self._rendered(value, context, recursive, meter)
            return "" if text is None and self.engine.dialect == "1.x" else text
        if is_map(value):
            result: dict[Any, Any] = {}
            for key, item in value.items():
                name = (self._rendered(key, context, recursive, meter) or "") if isinstance(key, str) else key
                result.setdefault(name, self._rendered_items(item, context, recursive, meter))
            return result
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self._rendered_items(item, context, recursive, meter) for item in value]
        return value

    def _rendered(self, text: str, context: Mapping[str, Any], recursive: bool | None, meter: Meter) -> str | None:
        if "{" not in text:
            return text
        passes = self.engine.recursive if recursive is None else recursive
        result = self._recursively(text, context, meter) if passes else self._once(text, context, meter)
        return result if result is None or self.keep_raw else _without_raw(result)

    def _recursively(self, text: str, context: Mapping[str, Any], meter: Meter) -> str | None:
        for _ in range(self.engine.limits.passes_max + 1):
            result = self._once(text, context, meter)
            if result is None or result == text:
                return result
            text = _with_raw(result, meter.secrets) if meter.secrets else result
        raise EvaluationFailed("Too many rendering attempts")

    def _once(self, text: str, context: Mapping[str, Any], meter: Meter) -> str | None:
        output = TextOutput(meter)
        self._run(text, context, output, meter)
        return None if output.empty else output.text()

    def _run(self, text: str, context: Mapping[str, Any], output: Output, meter: Meter) -> None:
        compiled = self.engine.program(text)
        frame = Frame(self, text, context, meter)
        frame.macros = compiled.macros
        frame.blocks = compiled.blocks
        try:
            compiled.run(frame, output)
        except RecursionError as error:
            raise LimitExceeded("The expression is nested too deeply.") from error


def _with_raw(text: str, secrets: Iterable[str]) -> str:
    """Mark secrets in a text as what the next pass must not read."""
    for secret in secrets:
        marked = f"{{% raw %}}{secret}{{% endraw %}}"
        text = text.replace(marked, secret).replace(secret, marked)
    return text


def _without_raw(text: str) -> str:
    return _RAW.sub(r"\1", text) if "endraw" in text else text
