"""The cases of `inputs.yaml`: typing, dependencies and defaults of inputs, types of outputs, checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from functools import partial
from pathlib import Path, PurePosixPath
from random import Random
from typing import Any

import msgspec

import tests.conformance.test_plugins  # noqa: F401  (registers the types that the flows use)
from tests.conformance.corpus import Case, Folder
from tests.conformance.paths import Absent, walk
from tests.conformance.result import CaseResult, LeftOut, Mismatch, judged
from tests.conformance.validation import check_problems, check_text, need
from tests.conformance.values import Upload, build
from tiercel.errors import InvalidInput, Problem
from tiercel.expression import Absent as NoAnswer
from tiercel.expression import Engine, Renderer
from tiercel.expression.encryption import is_sealed
from tiercel.flowspec import checks, inputs, outputs
from tiercel.flowspec.binder import bind_struct
from tiercel.flowspec.findings import Findings
from tiercel.flowspec.identity import placed_leaves
from tiercel.flowspec.inputbound import choices, violations
from tiercel.flowspec.inputrule import check_inputs
from tiercel.flowspec.inputvalue import cast, option_value
from tiercel.flowspec.parse import parse_flow
from tiercel.model.flow import Check, Dialect
from tiercel.model.input import REMOVED_INPUT_TYPES, FlowOutput, Input, InputType
from tiercel.secrets.encryption import Encryption

FILE = "inputs.yaml"
KEY = "I6EGNzRESu3X3pKZidrqCGOHQFUFC0yK"
CONTEXT = {"flow": {"id": "test", "namespace": "io.kestra.unittest"}, "execution": {"id": "test"}}


@dataclasses.dataclass
class Answers:
    """The host of expressions: it knows one secret and one value for every key, or none."""

    secret_answer: str | None = None
    kv_answer: Any = None
    zone: tzinfo = UTC
    random: Random = dataclasses.field(default_factory=Random)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def secret(self, namespace: str, key: str) -> str:
        if self.secret_answer is None:
            raise NoAnswer(key)
        return self.secret_answer

    def kv(self, namespace: str, key: str, *, inherited: bool) -> Any:
        if self.kv_answer is None:
            raise NoAnswer(key)
        return self.kv_answer


class Stored:
    """Takes files of inputs in place of the internal storage."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.files: dict[str, bytes] = {}

    def __call__(self, each: Input, value: Any) -> str:
        content, name = (value.content, value.filename) if isinstance(value, Upload) else (None, str(value))
        uri = f"kestra:///{self.prefix}/inputs/{each.id}/{PurePosixPath(name).name}"
        self.files[uri] = Path(name).read_bytes() if content is None else content
        return uri


def run_inputs_cases(folder: Path) -> list[CaseResult]:
    """Try every case of the folder's file on inputs."""
    corpus = Folder(folder)
    runs: tuple[tuple[str, Callable[[Folder, Case], None]], ...] = (
        ("cases", _typing),
        ("resolve", _resolve),
        ("read", _read),
        ("typed_outputs", _outputs),
        ("models", _model),
        ("checks", _checks),
        ("api", _api),
    )
    return [judged(case, partial(run, corpus, case)) for key, run in runs for case in corpus.cases(FILE, key)]


def _renderer(case: Case, *, mask: bool = False) -> inputs.Renderer:
    answers = Answers()
    for step in case.body.get("setup", []):
        answers.secret_answer = step.get("secret_answers", answers.secret_answer)
        answers.kv_answer = step.get("kv_answers", answers.kv_answer)
    engine = Engine(dialect="2.x")
    renderer = Renderer(engine, answers, mask_secrets=mask)
    return renderer.render_data


def _seal(case: Case) -> inputs.Seal | None:
    config = case.body.get("config") or {}
    if "encryption_secret_key" in config and config["encryption_secret_key"] is None:
        return None
    return Encryption(KEY).seal


def _list(data: Any, model: type[Any] = Input) -> list[Any]:
    findings = Findings()
    bound = [bind_struct(model, each, None, findings) for each in data]
    need(not findings.found, f"cannot be read: {[finding.message for finding in findings.found]}")
    return bound


def _dialect(listed: list[Input]) -> Dialect:
    return Dialect.V1 if any(each.type in REMOVED_INPUT_TYPES for each in listed) else Dialect.V2


def _compare(expect: Mapping[str, Any], values: Mapping[str, Any], corpus: Folder) -> None:
    for path, wanted in (expect.get("values") or {}).items():
        found = walk(values, path)
        need(_same(found, build(wanted, corpus)), f"{path} is {found!r}, not {wanted!r}")
    for path, unwanted in (expect.get("not_equal") or {}).items():
        need(walk(values, path) != unwanted, f"{path} is {unwanted!r}")
    for path in (*expect.get("has_keys", ()),):
        need(path in values, f"there is no {path!r}")
    for path in (*expect.get("not_null", ()),):
        need(walk(values, path) not in (None, Absent), f"{path} is null")
    for path in expect.get("encrypted", ()):
        need(is_sealed(walk(values, path)), f"{path} is {walk(values, path)!r}")


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(found, float) and isinstance(wanted, float):
        return abs(found - wanted) < 1e-6
    if isinstance(wanted, dict) and isinstance(found, Mapping):
        return set(found) == set(wanted) and all(_same(found[name], part) for name, part in wanted.items())
    return bool(found == wanted)


def _refused(expect: Mapping[str, Any], act: Callable[[], Any]) -> None:
    try:
        value = act()
    except (InvalidInput, ValueError) as error:
        check_text(expect, str(error))
        return
    raise Mismatch(f"accepted: {value!r}")


def _typing(corpus: Folder, case: Case) -> None:
    body, expect = case.body, case.body["expect"]
    flow = parse_flow(corpus.text(body["flow"]))
    data = corpus.data(FILE)
    base = build({**(data["bases"].get(body.get("base")) or {}), **body.get("override", {})}, corpus)
    for name in body.get("remove", []):
        base.pop(name, None)
    files = Stored(f"{flow.namespace.replace('.', '/')}/{flow.id}/executions/test")

    def act() -> dict[str, Any]:
        return inputs.typed_inputs(
            flow,
            base,
            renderer=_renderer(case),
            store_file=files,
            encrypt=_seal(case),
            execution={"id": "test"},
        )

    if "error" in expect:
        _refused(expect["error"], act)
        return
    values = act()
    _compare(expect, values, corpus)
    for name, path in (expect.get("stored_file_equals") or {}).items():
        need(files.files[values[name]] == (corpus.path / path).read_bytes(), f"{name} holds something else")


def _resolve(corpus: Folder, case: Case) -> None:
    body = case.body
    listed = _list(body["inputs"])
    files = Stored("test")
    validate_only = body.get("mode") == "validate"
    hooks = inputs.Hooks(
        renderer=_renderer(case, mask=validate_only),
        choice_renderer=_renderer(case),
        store_file=files,
        seal=_seal(case),
    )
    found = inputs.resolve(
        listed,
        build(body["data"], corpus),
        hooks,
        CONTEXT,
        dialect=_dialect(listed),
        validate_only=validate_only,
    )
    wanted = body["expect"]
    need(len(found) == len(wanted), f"{len(found)} results, not {len(wanted)}")
    if body.get("unordered"):
        by_id = {each.input.id: each for each in found}
        pairs = [(by_id[each["id"]], each) for each in wanted]
    else:
        pairs = list(zip(found, wanted, strict=True))
    for each, expect in pairs:
        _check_resolved(each, expect, corpus)


def _check_resolved(each: inputs.InputAndValue, expect: Mapping[str, Any], corpus: Folder) -> None:
    need(each.input.id == expect["id"], f"{each.input.id} stands in the place of {expect['id']}")
    if "value" in expect:
        need(_same(each.value, build(expect["value"], corpus)), f"{each.input.id} is {each.value!r}")
    for name in ("enabled", "is_default"):
        if name in expect:
            need(getattr(each, name) is expect[name], f"{name} of {each.input.id} is {getattr(each, name)}")
    said = "\n".join(problem.message for problem in each.problems)
    if "error" in expect:
        need(bool(said) is (expect["error"] is not None), f"{each.input.id} says {said!r}")
        if isinstance(expect["error"], dict) and "contains" in expect["error"]:
            need(expect["error"]["contains"] in said, f"{each.input.id} says {said!r}")
    for name, value in (expect.get("input") or {}).items():
        written = _written(each.input)
        need(written.get(name) == value, f"{name} of {each.input.id} is {written.get(name)!r}")


def _read(corpus: Folder, case: Case) -> None:
    body, expect = case.body, case.body["expect"]
    listed = _list(body["inputs"])
    hooks = inputs.Hooks(renderer=_renderer(case), store_file=Stored("test"), seal=_seal(case))

    def act() -> dict[str, Any]:
        found = inputs.resolve(listed, build(body["data"], corpus), hooks, CONTEXT, dialect=_dialect(listed))
        return inputs.nested_values(found)

    if "error" in expect:
        _refused(expect["error"], act)
    else:
        _compare(expect, act(), corpus)


def _outputs(corpus: Folder, case: Case) -> None:
    body, expect = case.body, case.body["expect"]
    declared = _list([{"value": "-", **each} for each in body["outputs"]], FlowOutput)

    def act() -> dict[str, Any]:
        return outputs.typed_outputs(declared, build(body["values"], corpus), encrypt=_seal(case))

    if "error" in expect:
        _refused(expect["error"], act)
    else:
        _compare(expect, act(), corpus)


def _written(each: Input) -> dict[str, Any]:
    """Return an input as JSON: an option whose label is its value is written as bare text."""
    document: dict[str, Any] = msgspec.to_builtins(each)
    for name in ("values", "options"):
        if document.get(name) is not None:
            document[name] = [
                option_value(option) if _label(option) == option_value(option) else option for option in document[name]
            ]
    return document


def _model(corpus: Folder, case: Case) -> None:
    body, expect = case.body, case.body["expect"]
    if "file_extension_of" in body:
        raise LeftOut("the extension of stored uploads shows nowhere; 'extension' is gone in 2.0")
    if "flow" in body:
        _counts(parse_flow(corpus.text(body["flow"])).inputs, expect)
        return
    if "inputs" in body:
        leaves = [leaf.id for leaf, _ in placed_leaves(_list(body["inputs"]), ())]
        need(leaves == expect["resolvable_inputs"], f"the inputs are {leaves}")
        return
    findings = Findings()
    each = bind_struct(Input, body["input"], None, findings)
    check_inputs([each], (), Dialect.V1 if findings.old else Dialect.V2, findings)
    problems = findings.problems(None)
    if "validate_value" in body:
        _check_value(corpus, each, body, expect)
        return
    if "valid" in expect:
        check_problems(problems, expect)
        return
    _check_model(case, each, body, expect)


def _check_value(corpus: Folder, each: Input, body: Mapping[str, Any], expect: Mapping[str, Any]) -> None:
    def act() -> None:
        value = build(body["validate_value"], corpus)
        typed = value if each.type is InputType.FILE else cast(each.type, value, item=each.item_type)
        causes = list(violations(each, typed))
        if causes:
            raise InvalidInput([Problem(each.id, cause) for cause in causes])

    if "error" in expect:
        _refused(expect["error"], act)
    else:
        act()


def _check_model(case: Case, each: Input, body: Mapping[str, Any], expect: Mapping[str, Any]) -> None:
    if "id" in expect:
        need(each.id == expect["id"], f"the id is {each.id}")
    if "defaults_before" in expect:
        need(inputs.first_choice(each) == expect["defaults_before"], f"the default is {inputs.first_choice(each)!r}")
    each = inputs.with_choices(each, _renderer(case), body.get("variables") or {})
    if "defaults" in expect:
        found = each.defaults if each.defaults is not None else inputs.first_choice(each)
        need(found == expect["defaults"], f"the default is {found!r}")
    if "options" in expect:
        listed = each.values if each.values is not None else each.options or ()
        found = [{"label": _label(option), "value": option_value(option)} for option in listed]
        need(found == expect["options"], f"the options are {found} of {choices(each)}")
    written = _written(each)
    for name, value in (expect.get("json") or {}).items():
        need(written.get(name) == value, f"{name} is {written.get(name)!r}")


def _counts(listed: tuple[Input, ...], expect: Mapping[str, Any]) -> None:
    found = {
        "inputs_count": len(listed),
        "required_count": sum(each.required for each in listed),
        "not_required_count": sum(not each.required for each in listed),
        "with_defaults_count": sum(each.defaults is not None for each in listed),
        "string_with_validator_count": sum(
            each.type is InputType.STRING and each.validator is not None for each in listed
        ),
    }
    for name, number in found.items():
        if name in expect:
            need(number == expect[name], f"{name} is {number}, not {expect[name]}")
    for name, value in (expect.get("first") or {}).items():
        need(getattr(listed[0], name) == value, f"{name} is {getattr(listed[0], name)!r}")


def _checks(corpus: Folder, case: Case) -> None:
    body, expect = case.body, case.body["expect"]
    if body["operation"] == "resolve_behavior":
        listed = _list([{"when": "{{ true }}", "message": "-", **each} for each in body["checks"]], Check)
        found = checks.resolve_behavior(listed)
        need(found == expect, f"the behavior is {found}")
        return
    context = {**CONTEXT, "inputs": body.get("inputs") or {}}
    failing = checks.failed_checks(_list(body["checks"], Check), _renderer(case), context)
    need(len(failing) == len(expect["failed"]), f"failed are {failing}")
    for check, wanted in zip(failing, expect["failed"], strict=True):
        for name, value in wanted.items():
            found = getattr(check, name)
            fits = value["contains"] in found if isinstance(value, dict) else found == value
            need(fits, f"{name} is {found!r}")


def _api(corpus: Folder, case: Case) -> None:
    body, expect = case.body, case.body["expect"]
    flow = parse_flow(corpus.text(body["flow"]))
    found = inputs.resolve_inputs(
        flow, build(body["inputs"], corpus), renderer=_renderer(case), store_file=Stored("test"), validate_only=True
    )
    need(flow.id == expect["id"], f"the flow is {flow.id}")
    need(flow.namespace == expect["namespace"], f"the namespace is {flow.namespace}")
    need(bool(found), "there are no inputs")
    need(all(each.enabled for each in found), "not all inputs are enabled")


def _label(option: Any) -> Any:
    return option.get("label", option.get("value")) if isinstance(option, Mapping) else option
