"""
Runs every case of a corpus' `expressions.yaml` on the expression engine.

The dialect follows the corpus: cases of the later Kestra are those whose ids start with `v2.`.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml

from tests.conformance.expression_world import World, typed
from tests.conformance.result import CaseResult, LeftOut, Mismatch, only, passed, verdict
from tiercel.errors import ExpressionError
from tiercel.expression import context, encryption
from tiercel.expression.failure import ArgumentRefused
from tiercel.expression.rendering import Engine, Renderer
from tiercel.expression.typed import joined
from tiercel.flowspec.inputs import with_choices
from tiercel.model.input import Input, InputType
from tiercel.storage.local import LocalStorage
from tiercel.worker.single import Bench

FILE = "expressions.yaml"
_ROOT_CAUSES: Mapping[str, type[BaseException]] = {"file_not_found": FileNotFoundError, "security": PermissionError}
_NO_TEXT = ("kind", "root_cause")
_MISSING = object()


def run_expression_cases(folder: Path) -> list[CaseResult]:
    """Run all cases of the folder's expressions.yaml; none when the file is missing."""
    path = folder / FILE
    if not path.exists():
        return []
    document = yaml.safe_load(path.read_text()) or {}
    runners: dict[str, Callable[[Path, Mapping[str, Any], Mapping[str, Any]], None]] = {
        "cases": _run_case,
        "run_variables": _run_variables,
        "typed_writer": _run_typed_writer,
        "function_arguments": _run_function_arguments,
    }
    return [
        _outcome(case, lambda case, run=run: run(folder, document, case))
        for key, run in runners.items()
        for case in document.get(key) or ()
    ]


def _outcome(case: Mapping[str, Any], run: Callable[[Mapping[str, Any]], None]) -> CaseResult:
    name, features = str(case["id"]), tuple(case.get("features") or ())
    try:
        run(case)
    except Exception as error:  # whatever a case does to the runner is that case's failure
        return verdict(name, FILE, error, features)
    return passed(name, FILE, features)


def dialect_of(case: Mapping[str, Any]) -> str:
    """Return the dialect a case is written for."""
    return "2.x" if str(case["id"]).startswith("v2.") else "1.x"


def _run_case(folder: Path, document: Mapping[str, Any], case: Mapping[str, Any]) -> None:
    world = World(folder, document, case, dialect_of(case))
    config = case.get("config") or {}
    engine = Engine(dialect=world.engine.dialect, recursive=bool(config.get("recursive_rendering")))
    for step in case.get("setup") or ():
        world.set_up(step)
    variables = world.filled(case.get("variables") or {})
    if config.get("encryption_secret_key"):
        variables = encryption.unsealed(variables, partial(encryption.decrypt, config["encryption_secret_key"]))
    renderer = Renderer(engine, world, mask_secrets=case.get("mode") == "debug")
    expect = world.filled(case["expect"])
    try:
        value = _evaluated(renderer, world, case, variables)
    except ExpressionError as error:
        _check_error(error, expect.get("error"))
        return
    if "error" in expect:
        raise Mismatch(f"no error, but {value!r}")
    for key, wanted in expect.items():
        check_value(key, wanted, value, expect)


def _evaluated(renderer: Renderer, world: World, case: Mapping[str, Any], variables: dict[str, Any]) -> Any:
    match case.get("mode"):
        case None | "debug":
            return renderer.render(world.filled(case["template"]), variables)
        case "typed":
            return renderer.render_typed(world.filled(case["template"]), variables)
        case "object":
            return renderer.render_value(world.filled(case["input"]), variables)
        case "property":
            return asyncio.run(_property(world.filled(case["expression"]), variables, case))
        case "input_values":
            asked = Input(id="i", type=InputType(case["input_type"]), expression=world.filled(case["expression"]))
            return list(with_choices(asked, renderer.render_typed, variables).values)
        case mode:
            raise LeftOut(f"the mode {mode} is unknown")


_TYPES: Final[dict[str, Any]] = {"string": str, "list<string>": list[str], "map<string,string>": dict[str, str]}

_EMPTY: Final[dict[str, Any]] = {"list<string>": [], "map<string,string>": {}}
"""What is not given: tasks say so by the defaults of their properties."""


async def _property(raw: Any, variables: dict[str, Any], case: Mapping[str, Any]) -> Any:
    """Read a property as a worker does for its tasks."""
    only([case["as"]], _TYPES, "the type of a property")
    with tempfile.TemporaryDirectory() as folder:
        context = Bench(LocalStorage(Path(folder))).context(variables, dialect=dialect_of(case))
        try:
            found = await context.render(raw, _TYPES[case["as"]])
            return _EMPTY.get(case["as"]) if found is None else found
        finally:
            await context.close()


def _check_error(error: ExpressionError, wanted: Any) -> None:
    if wanted is None:
        raise Mismatch(f"failed with: {error}")
    if not isinstance(wanted, Mapping):
        wanted = {"kind": wanted} if isinstance(wanted, str) else {}
    message, kind = str(error), wanted.get("kind")
    if kind == "illegal_argument" and not isinstance(error, ArgumentRefused):
        raise Mismatch(f"not a refused argument, but {type(error).__name__}: {error}")
    cause = wanted.get("root_cause")
    if cause is not None:
        only([cause], _ROOT_CAUSES, "the root cause")
    if cause is not None and not isinstance(_root(error), _ROOT_CAUSES[cause]):
        raise Mismatch(f"the root cause is {_root(error)!r}, not {cause}")
    checks: dict[str, Callable[[str], bool]] = {
        "message_equals": lambda text: message == text,
        "message_contains": lambda text: all(part in message for part in ([text] if isinstance(text, str) else text)),
        "message_starts_with": lambda text: message.startswith(text),
        "message_ends_with": lambda text: message.endswith(text),
        "message_matches": lambda text: re.fullmatch(text, message, re.DOTALL) is not None,
    }
    # Elsewhere in a corpus the same claims are made without "message_".
    claims = {key if key in checks else f"message_{key}": text for key, text in wanted.items() if key not in _NO_TEXT}
    only(claims, checks, "the claim on an error")
    for key, text in claims.items():
        if not checks[key](text):
            raise Mismatch(f"the message is {message!r}, {key} {text!r}")


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def check_value(key: str, wanted: Any, value: Any, expect: Mapping[str, Any]) -> None:
    """Compare a rendered value with one of the things that a case expects of it."""
    if key == "unordered":
        return
    check = _CHECKS.get(key)
    if check is None:
        raise LeftOut(f"the expectation {key} is unknown")
    if key == "object" and expect.get("unordered"):
        value, wanted = _sorted_lists(value), _sorted_lists(wanted)
    if not check(value, wanted):
        raise Mismatch(f"{key}: expected {wanted!r}, got {value!r}")


def _sorted_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted_lists(item) for key, item in value.items()}
    return sorted((_sorted_lists(item) for item in value), key=repr) if isinstance(value, list) else value


def _all(wanted: Any, test: Callable[[Any], bool]) -> bool:
    return all(test(item) for item in (wanted if isinstance(wanted, list) else [wanted]))


def _same(value: Any, wanted: Any) -> bool:
    """Compare with types: a text is no number, a boolean no number, a float no whole number."""
    if isinstance(value, dict) and isinstance(wanted, dict):
        return value.keys() == wanted.keys() and all(_same(value[key], wanted[key]) for key in wanted)
    if isinstance(value, list) and isinstance(wanted, list):
        return len(value) == len(wanted) and all(map(_same, value, wanted))
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    return bool(value == wanted) and isinstance(value, float) == isinstance(wanted, float)


def _list_has(text: str, wanted: list[Any]) -> bool:
    found = json.loads(text)
    return all(any(_same(item, want) or _close(item, want) for item in found) for want in wanted)


def _close(value: Any, wanted: Any) -> bool:
    return isinstance(value, float) and isinstance(wanted, float) and abs(value - wanted) < 1e-6


def _object_has(text: str, wanted: Mapping[str, Any]) -> bool:
    found = json.loads(text)
    return all(_same(found.get(key, _MISSING), item) for key, item in wanted.items())


_CHECKS: Mapping[str, Callable[[Any, Any], bool]] = {
    "equals": lambda value, wanted: value == wanted,
    "contains": lambda value, wanted: _all(wanted, lambda part: part in value),
    "not_contains": lambda value, wanted: _all(wanted, lambda part: part not in value),
    "starts_with": lambda value, wanted: value.startswith(wanted),
    "ends_with": lambda value, wanted: value.endswith(wanted),
    "not_equals": lambda value, wanted: value != wanted,
    "empty": lambda value, wanted: (value is None or value == "") is wanted,
    "not_empty": lambda value, wanted: bool(value) is wanted,
    "not_null": lambda value, wanted: (value is not None) is wanted,
    "matches": lambda value, wanted: re.fullmatch(wanted, value) is not None,
    "length": lambda value, wanted: len(value) == wanted,
    "split_count": lambda value, wanted: len(value.split(wanted["separator"])) == wanted["count"],
    "int_between": lambda value, wanted: wanted[0] <= int(value) <= wanted[1],
    "json_list_has_items": _list_has,
    "json_object_has": _object_has,
    "object": _same,
    "object_has": lambda value, wanted: all(_same(value.get(key), item) for key, item in wanted.items()),
    "key_order": lambda value, wanted: list(json.loads(value) if isinstance(value, str) else value) == wanted,
    "value": _same,
    "value_has_items": lambda value, wanted: all(item in value for item in wanted),
    "value_has_entries": lambda value, wanted: all(_same(value.get(key), item) for key, item in wanted.items()),
}


def _run_typed_writer(folder: Path, document: Mapping[str, Any], case: Mapping[str, Any]) -> None:
    expect = typed(case["expect"])
    try:
        value = joined(typed(case["writes"]), dialect_of(case))
    except ExpressionError as error:
        wanted = dict(expect.get("error") or {})
        if "note" in case and "class names" in case["note"]:
            wanted.pop("message_equals", None)
        _check_error(error, wanted if "error" in expect else None)
        return
    if "error" in expect:
        raise Mismatch(f"no error, but {value!r}")
    check_value("value", expect["value"], value, expect)


def _run_function_arguments(folder: Path, document: Mapping[str, Any], case: Mapping[str, Any]) -> None:
    function = Engine(dialect="2.x").functions.get(case["function"])
    found = None if function is None else list(function.parameters or ())
    if found != case["expect"]["arguments"]:
        raise Mismatch(f"the arguments are {found}, expected {case['expect']['arguments']}")


def _run_variables(folder: Path, document: Mapping[str, Any], case: Mapping[str, Any]) -> None:
    world = World(folder, document, case, dialect_of(case))
    found = context.build(_facts(world, world.filled(case["given"])))
    for key, wanted in world.filled(case["expect"]).items():
        match key:
            case "size":
                # Java counts an internal consumer of secrets among the variables.
                hidden = len([name for name in case["expect"].get("not_null") or () if name == "addSecretConsumer"])
                _require(len(found) + hidden == wanted, key, wanted, found)
            case "equals":
                _require(all(_same(found.get(name), item) for name, item in wanted.items()), key, wanted, found)
            case "not_null":
                names = [name for name in wanted if name != "addSecretConsumer"]
                _require(all(_at(found, name) not in (None, _MISSING) for name in names), key, wanted, found)
            case "paths":
                _require(all(_same(_at(found, path), item) for path, item in wanted.items()), key, wanted, found)
            case "paths_exist":
                _require(set(wanted) <= set(context.CONTEXT_PATHS), key, wanted, context.CONTEXT_PATHS)
            case "list_contains":
                _require(set(wanted) <= set(context.CONTEXT_PATHS), key, wanted, context.CONTEXT_PATHS)
            case "none_starts_with":
                prefixes = tuple(wanted if isinstance(wanted, list) else [wanted])
                _require(not any(path.startswith(prefixes) for path in context.CONTEXT_PATHS), key, wanted, None)
            case _:
                raise LeftOut(f"the expectation {key} is unknown")


def _require(holds: bool, key: str, wanted: Any, found: Any) -> None:
    if not holds:
        raise Mismatch(f"{key}: expected {wanted!r}, got {found!r}")


def _at(value: Any, path: str) -> Any:
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return _MISSING
        value = value[part]
    return value


def _facts(world: World, given: Mapping[str, Any]) -> context.Facts:
    flow, execution, run = given.get("flow"), given.get("execution"), given.get("taskrun")
    labels = execution.get("labels") if execution else flow.get("labels") if flow else None
    trigger = (execution or {}).get("trigger")
    loop = (execution or {}).get("loop_run")
    own_flow = flow or (execution and {"id": execution.get("flowId"), "namespace": execution.get("namespace")})
    return context.Facts(
        dialect=world.engine.dialect,
        envs=given.get("envs") or {},
        globals=given.get("globals") or {},
        flow=own_flow and {name: own_flow.get(name) for name in ("id", "namespace", "revision", "tenantId")},
        task=given.get("task"),
        taskrun=run and _taskrun(run),
        parents=_parents(run),
        execution=execution and {"id": execution.get("id"), "state": execution.get("state")},
        outputs=(execution or {}).get("outputs") or {},
        inputs=_inputs(world, given, flow, execution),
        labels=None if labels is None else list(labels.items()),
        trigger=given.get("trigger"),
        trigger_variables=trigger and trigger.get("variables"),
        trigger_origin=trigger and {"id": trigger.get("id"), "type": trigger.get("type")},
        variables=(execution or {}).get("variables") or (flow or {}).get("variables"),
        iteration=_iteration(loop) if loop else None,
        iteration_parents=tuple(_iteration(parent) for parent in (loop or {}).get("parents") or ()),
        kestra=given.get("kestra_configuration"),
        extra=given.get("variables") or {},
    )


def _taskrun(run: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": run.get("taskId"), "attemptsCount": 0, "value": run.get("value"), "iteration": run.get("iteration")}


def _parents(run: Mapping[str, Any] | None) -> tuple[Mapping[str, Any], ...]:
    parent = (run or {}).get("parent")
    return ({"task": {"id": parent["taskId"]}, "taskrun": {"value": parent.get("value")}},) if parent else ()


def _iteration(given: Mapping[str, Any]) -> context.Iteration:
    return context.Iteration(index=given["index"], key=given.get("key"), value=given.get("value"))


def _inputs(world: World, given: Mapping[str, Any], flow: Any, execution: Any) -> dict[str, Any]:
    inputs = {**(given.get("inputs") or {}), **((execution or {}).get("inputs") or {})}
    if execution is None:
        return inputs
    answers = given.get("kv_answers")

    class Answering(World):
        def kv(self, namespace: str, key: str, *, inherited: bool) -> Any:
            return answers

    host = Answering(world.corpus, {}, {}, world.engine.dialect)
    renderer = Renderer(world.engine, host)
    for item in (flow or {}).get("inputs") or ():
        if item.get("defaults") is None or item["id"] in inputs:
            continue
        try:
            if given.get("renderer") == "failing":
                raise ExpressionError("No expression can be rendered.")
            inputs[item["id"]] = renderer.render_value(item["defaults"], {"flow": flow})
        except ExpressionError:
            # A default that needs what is not there yet is left out, as the engine does.
            continue
    return inputs
