"""Functions that read formats, render again, and show the context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiercel.expression import ion, json_text, yaml_text
from tiercel.expression.failure import LimitExceeded
from tiercel.expression.operators import compare, span
from tiercel.expression.printing import java_text
from tiercel.expression.runtime import Call
from tiercel.expression.signature import Args, Function


def _text_argument(args: Args, name: str, call: Call) -> str | None:
    value = call.required(args, name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise call.fail(f"The '{call.name}' function expects an argument '{name}' with type string.")
    return value


def _from_json(args: Args, call: Call) -> Any:
    text = _text_argument(args, "json", call)
    if text is None:
        return None
    try:
        return json_text.loads(text)
    except ValueError as error:
        raise call.fail(f"Invalid json: {error}") from error


def _from_ion(args: Args, call: Call) -> Any:
    source = call.required(args, "ion")
    if source is None:
        return None
    if not isinstance(source, (str, bytes)):
        raise call.fail("The 'fromIon' function expects an argument 'ion' with type string.")
    try:
        return ion.loads(source) if args.get("allRows") else ion.first(source)
    except UnicodeEncodeError:
        raise  # said as for any function
    except ValueError as error:
        raise call.fail(str(error)) from error


def _yaml(args: Args, call: Call) -> Any:
    text = _text_argument(args, "yaml", call)
    if text is None:
        raise call.fail("The 'yaml' function expects an argument 'yaml' with type string.")
    try:
        return yaml_text.loads(text)
    except ValueError as error:
        raise call.fail(str(error)) from error


def _render(args: Args, call: Call) -> Any:
    recursive = args.get("recursive")
    if recursive is not None and not isinstance(recursive, bool):
        raise call.fail("The 'render' function expects an optional argument 'recursive' with type boolean.")
    return _rendered(args, call, recursive is not False)


def _render_once(args: Args, call: Call) -> Any:
    return _rendered(args, call, False)


def _rendered(args: Args, call: Call, recursive: bool) -> Any:
    value, meter, frame = call.required(args, "toRender"), call.meter, call.frame
    if meter.nesting >= meter.limits.nesting_max:
        raise LimitExceeded(f"Maximum render() nesting depth of {meter.limits.nesting_max} is exceeded.")
    meter.nesting += 1
    try:
        return frame.renderer.rendered_value(value, frame.visible(), recursive, meter)
    finally:
        meter.nesting -= 1


def _context(args: Args, call: Call) -> Any:
    return dict(call.frame.visible())


def _max(args: Args, call: Call) -> Any:
    return _extreme(args, ">")


def _min(args: Args, call: Call) -> Any:
    return _extreme(args, "<")


def _extreme(args: Args, sign: str) -> Any:
    best: Any = None
    for value in args.values():
        if best is None or compare(sign, value, best):
            best = value
    return best


def _range(args: Args, call: Call) -> Any:
    increment = args.get("increment")
    return span(call.required(args, "start"), call.required(args, "end"), 1 if increment is None else increment)


def _i18n(args: Args, call: Call) -> Any:
    bundle = java_text(call.required(args, "bundle"))
    raise call.fail(f"Can't find bundle for base name {bundle}: an installation has no resource bundles.")


def _parent(args: Args, call: Call) -> Any:
    raise call.fail("Can not use parent function if template does not extend another template.")


def _env(args: Args, call: Call) -> Any:
    if args.get("name") is None:
        raise call.fail("The 'env' function expects an argument 'name'.")
    known, name = call.mapping("envs"), java_text(args["name"])
    # The environment's names are known in lower case; an author may write one as the environment does.
    found = known.get(name, known.get(name.lower()))
    return args["default"] if found in (None, "") and "default" in args else found


FUNCTIONS: Mapping[str, Function] = {
    "env": Function(_env, ("name", "default")),
    "fetchContext": Function(_context),
    "fromIon": Function(_from_ion, ("ion", "allRows")),
    "fromJson": Function(_from_json, ("json",)),
    # Both belong to the language, but lean on resource bundles and on templates that extend others.
    "i18n": Function(_i18n, ("bundle", "key", "param")),
    "json": Function(_from_json, ("json",)),
    "max": Function(_max, None),
    "min": Function(_min, None),
    "parent": Function(_parent),
    "printContext": Function(_context),
    "range": Function(_range, ("start", "end", "increment")),
    "render": Function(_render, ("toRender", "recursive")),
    "renderOnce": Function(_render_once, ("toRender",)),
    "yaml": Function(_yaml, ("yaml",)),
}
