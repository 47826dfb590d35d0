"""Inputs: what is sent becomes typed values, or a sentence for each that is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import msgspec
import pytest

from tiercel.errors import ExpressionError, InvalidInput
from tiercel.expression.encryption import is_sealed
from tiercel.expression.truth import value_means_true
from tiercel.flowspec import inputs
from tiercel.flowspec.checks import failed_checks, resolve_behavior
from tiercel.flowspec.inputvalue import cast
from tiercel.flowspec.outputs import typed_outputs
from tiercel.flowspec.parse import parse_flow
from tiercel.model.flow import Check, CheckBehavior, Dialect
from tiercel.model.input import FlowOutput, Input, InputType
from tiercel.secrets.encryption import Encryption

KEY = "I6EGNzRESu3X3pKZidrqCGOHQFUFC0yK"
PAUSE = "io.kestra.plugin.core.flow.Pause"


def render(text: str, context: Mapping[str, Any]) -> Any:
    """Render `{{ inputs.x }}` and `{{ inputs.x == 'y' }}`, which is all that these tests need."""
    inner = text.removeprefix("{{").removesuffix("}}").strip()
    path, compares, wanted = inner.partition(" == ")
    value: Any = context
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise ExpressionError(f"Undefined: {part}")
        value = value[part]
    return str(value) == wanted.strip("'") if compares else value


def typed(inputs_text: str, values: Mapping[str, Any], **hooks: Any) -> dict[str, Any]:
    flow = parse_flow(f"id: a\nnamespace: team\ninputs: {inputs_text}\ntasks: [{{id: p, type: {PAUSE}}}]\n")
    return inputs.typed_inputs(flow, values, renderer=render, **hooks)


def test_expressions_of_inputs_see_the_labels_of_the_flow() -> None:
    """Dots in their names make maps."""
    flow = parse_flow(f"id: a\nnamespace: team\nlabels: {{app.tier: gold}}\ntasks: [{{id: p, type: {PAUSE}}}]\n")

    assert {"app": {"tier": "gold"}} == inputs.flow_context(flow, None)["labels"]


@pytest.mark.parametrize(
    ("kind", "sent", "expected"),
    [
        ("STRING", 12, "12"),
        ("STRING", True, "true"),
        ("INT", "42", 42),
        ("INT", 42.0, 42),
        ("FLOAT", "42.42", 42.42),
        ("BOOL", "TRUE", True),
        ("BOOL", "False", False),
        ("DATETIME", "2019-10-06T20:27:49+02:00", datetime(2019, 10, 6, 18, 27, 49, tzinfo=UTC)),
        ("DATETIME", "2019-10-06T18:27:49.123456789Z", datetime(2019, 10, 6, 18, 27, 49, 123456, tzinfo=UTC)),
        ("DATE", "2019-10-06", date(2019, 10, 6)),
        ("TIME", "18:27", time(18, 27)),
        ("DURATION", "PT5M6S", timedelta(minutes=5, seconds=6)),
        ("JSON", '{"a": [1]}', {"a": [1]}),
        ("JSON", {"a": 1}, {"a": 1}),
        ("YAML", "a:\n- yes\n", {"a": ["yes"]}),
        ("ION", '{name:"Ada",nested:{active:true}}', {"name": "Ada", "nested": {"active": True}}),
        ("ION", ["one"], ["one"]),
        ("URI", "jdbc:duckdb:", "jdbc:duckdb:"),
        ("EMAIL", "a@b.org", "a@b.org"),
    ],
)
def test_what_is_sent_gets_the_type_of_the_input(kind: str, sent: Any, expected: Any) -> None:
    """Callers send texts; typed values stay as they are."""
    found = typed(f"[{{id: x, type: {kind}}}]", {"x": sent})["x"]

    assert (expected, type(expected)) == (found, type(found))
    assert found == cast(InputType(kind), found)


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("INT", "4.2"),
        ("INT", "1_0"),
        ("INT", "3000000000"),
        ("INT", True),
        ("FLOAT", "much"),
        ("FLOAT", "NaN"),
        ("FLOAT", "1e400"),
        ("DATETIME", "2024-W01-1T10:00:00Z"),
        ("DATE", "20240101"),
        ("TIME", "10"),
        ("TIME", "10:00+02:00"),
        ("JSON", "[NaN]"),
        ("DATETIME", "2019-10-06T18:27:49"),
        ("DATE", "06.10.2019"),
        ("TIME", "25:00"),
        ("DURATION", "5 minutes"),
        ("JSON", "{"),
        ("YAML", "a: [1"),
        ("ION", "{a:"),
        ("BOOL", "yes"),
        ("BOOL", 1),
        ("URI", "just text"),
        ("EMAIL", "nobody"),
        ("FILE", "/etc/passwd"),
    ],
)
def test_what_is_not_of_the_type_is_refused(kind: str, sent: Any) -> None:
    """The sentence names the input and the cause."""
    with pytest.raises(InvalidInput, match=r"Invalid value for input `x`\. Cause: "):
        typed(f"[{{id: x, type: {kind}}}]", {"x": sent})


@pytest.mark.parametrize(
    ("declared", "sent", "cause"),
    [
        ("type: STRING, validator: 'A\\d+'", "foo", "it must match the pattern `A\\d+`"),
        ("type: INT, min: 10", 9, "it must be more than `10`"),
        ("type: INT, max: 20", "21", "it must be less than `20`"),
        ("type: DURATION, max: PT20S", "PT30S", "It must be less than `PT20S`"),
        ("type: DATE, before: 2023-12-31", "2024-01-01", "it must be before `2023-12-31`"),
        ("type: TIME, after: '01:00:00'", "00:30", "it must be after `01:00:00`"),
        ("type: SELECT, values: [A, B]", "C", "it must match the values `[A, B]`"),
        ("type: MULTISELECT, values: [A, B]", '["A", "C"]', "value `C` doesn't match the values `[A, B]`"),
        ("type: FLOAT", "much", 'Expected `FLOAT` but received `much` with errors: For input string: "much"'),
        ("type: ARRAY, itemType: INT", '["s1"]', "Unable to parse array element as `INT` on `s1`"),
        ("type: FILE, allowedFileExtensions: [.csv]", "kestra:///a.txt", "not allowed. Accepted extensions: .csv"),
        ('type: JSON, jsonSchema: \'{"type": "array"}\'', "{}", "it must match the json schema"),
    ],
)
def test_a_value_out_of_bounds_is_refused_with_the_bound(declared: str, sent: Any, cause: str) -> None:
    """Bounds are inclusive; the cause says which one is broken."""
    with pytest.raises(InvalidInput) as caught:
        typed(f"[{{id: x, {declared}}}]", {"x": sent})

    assert cause in str(caught.value)


@pytest.mark.parametrize(
    "schema", ["3", "{", '{"type": 3}', '{"$ref": "http://nowhere.invalid/x"}', '{"pattern": "("}']
)
def test_a_schema_that_cannot_be_used_is_said_and_never_fetched(schema: str) -> None:
    """The author of the flow must change it."""
    listed = [Input(id="x", type=InputType.JSON, json_schema=schema)]

    (found,) = inputs.resolve(listed, {"x": '"text"'}, inputs.Hooks(renderer=render), {})

    assert "Invalid JSON content or schema" in found.problems[0].message


def test_all_that_is_wrong_is_said_one_a_line() -> None:
    """Two inputs, two sentences."""
    with pytest.raises(InvalidInput) as caught:
        typed("[{id: x, type: INT}, {id: y, type: INT}, {id: z, type: INT, required: false}]", {"x": "a"})

    assert ["x", "y"] == [problem.path for problem in caught.value.problems]
    assert "Missing required input:y" == str(caught.value).splitlines()[1]


def test_in_the_older_dialect_what_is_not_true_is_false() -> None:
    """A flow of 1.x takes any text for a BOOLEAN."""
    assert {"x": False, "y": True} == typed("[{id: x, type: BOOLEAN}, {id: y, type: BOOLEAN}]", {"x": "1", "y": "TRUE"})


def test_the_older_dialect_has_its_own_sentences() -> None:
    """A flow with an ENUM is of the older dialect."""
    with pytest.raises(InvalidInput) as caught:
        typed(
            "[{id: x, type: ENUM, values: [A]}, {id: y, type: INT, max: 3}, {id: z, type: MULTISELECT, values: [A]}]",
            {"x": "B", "y": 4, "z": ["B", "C"]},
        )

    assert [
        "Invalid input for `x`, it must match the values `[A]`, but received `B`",
        "Invalid input for `y`, it must be less than `3`, but received `4`",
        'Invalid input for `z`, it must match the values `[A]`, but received `["B", "C"]`',
    ] == str(caught.value).splitlines()


def test_dotted_ids_become_maps_and_are_found_flat_or_nested() -> None:
    """A subflow sends nested maps, a form flat names; unknown names are left out."""
    declared = "[{id: a.b, type: INT}, {id: a.c.d, type: INT}, {id: f, type: FORM, inputs: [{id: g, type: INT}]}]"

    flat = typed(declared, {"a.b": 1, "a.c.d": 2, "f.g": 3, "other": 4})
    nested = typed(declared, {"a": {"b": 1, "c": {"d": 2}}, "f": {"g": 3}})

    assert {"a": {"b": 1, "c": {"d": 2}}, "f": {"g": 3}} == flat == nested


def test_an_optional_input_without_value_is_null_and_an_empty_text_only_counts_as_text() -> None:
    """An empty text is what an expression makes of null."""
    declared = "[{id: n, type: INT, required: false}, {id: s, type: STRING, required: false}]"

    assert {"n": None, "s": ""} == typed(declared, {"n": "", "s": ""})


def test_defaults_are_rendered_and_typed() -> None:
    """A default may use the inputs that its input depends on."""
    declared = (
        "[{id: x, type: INT, defaults: 7}, {id: y, type: STRING, defaults: '{{ inputs.x }}', dependsOn: {inputs: [x]}}]"
    )

    assert {"x": 7, "y": "7"} == typed(declared, {})


def test_an_input_exists_only_while_its_condition_holds() -> None:
    """A disabled input is dropped unread, and disables those that depend on it."""
    declared = (
        "[{id: c, type: INT, dependsOn: {inputs: [b]}},"
        " {id: b, type: INT, dependsOn: {inputs: [a], condition: \"{{ inputs.a == 'yes' }}\"}},"
        " {id: a, type: STRING}]"
    )

    assert {"a": "no"} == typed(declared, {"a": "no", "b": "not a number"})
    assert {"a": "yes", "b": 1, "c": 2} == typed(declared, {"a": "yes", "b": 1, "c": 2})


def test_a_condition_that_fails_disables_and_is_told() -> None:
    """The form shows why."""
    listed = [
        Input(id="a", type=InputType.STRING),
        msgspec.convert({"id": "b", "type": "INT", "dependsOn": {"inputs": ["a"], "condition": "{{ no }}"}}, Input),
    ]

    _, found = inputs.resolve(listed, {"a": "x", "b": 1}, inputs.Hooks(renderer=render), {})

    assert not found.enabled
    assert "Undefined: no" in found.problems[0].message


def test_choices_may_come_from_an_expression() -> None:
    """Nulls are dropped, numbers become texts, and the input shows what can be chosen."""
    listed = [Input(id="s", type=InputType.SELECT, expression="{{ vars.list }}")]
    context = {"vars": {"list": ["a", None, 3, {"label": "Four", "value": "4"}]}}

    (right,) = inputs.resolve(listed, {"s": "4"}, inputs.Hooks(renderer=render), context)
    (wrong,) = inputs.resolve(listed, {"s": "Four"}, inputs.Hooks(renderer=render), context)

    assert ("4", ()) == (right.value, right.problems)
    assert ("a", "3", {"label": "Four", "value": "4"}) == right.input.values
    assert "`[a, 3, 4]`" in wrong.problems[0].message


def test_the_first_choice_is_selected_by_itself_when_asked() -> None:
    """A list of several takes a list of one."""
    declared = (
        "[{id: s, type: SELECT, values: [A, B], autoSelectFirst: true},"
        " {id: m, type: MULTISELECT, values: [A, B], autoSelectFirst: true}]"
    )

    assert {"s": "A", "m": ["A"]} == typed(declared, {})


def test_a_file_goes_to_the_storage_and_an_address_of_it_stays() -> None:
    """The hook stores, nothing else touches the disk."""
    stored: list[Any] = []

    def store(each: Input, value: Any) -> str:
        stored.append(value)
        return f"kestra:///{each.id}"

    found = typed(
        "[{id: x, type: FILE}, {id: y, type: FILE}]", {"x": b"content", "y": "kestra:///there"}, store_file=store
    )

    assert ({"x": "kestra:///x", "y": "kestra:///there"}, [b"content"]) == (found, stored)


def test_a_secret_is_sealed_after_its_pattern_was_checked() -> None:
    """Only the encrypted value leaves; without a key secrets are refused; a preview masks them."""
    encryption = Encryption(KEY)
    declared = "[{id: x, type: SECRET, validator: '.{8,}'}]"

    found = typed(declared, {"x": "long enough"}, encrypt=encryption.seal)["x"]
    again = typed(declared, {"x": found}, encrypt=encryption.seal)["x"]

    assert is_sealed(found)
    assert "long enough" == encryption.decrypt(found["value"])
    assert found == again
    with pytest.raises(InvalidInput, match="x: it must match the pattern"):
        typed(declared, {"x": "short"}, encrypt=encryption.seal)
    with pytest.raises(InvalidInput, match="encryption is not configured"):
        typed(declared, {"x": "long enough"})
    listed = [Input(id="x", type=InputType.SECRET)]
    hooks = inputs.Hooks(renderer=render, seal=encryption.seal)
    assert "******" == inputs.resolve(listed, {"x": "y"}, hooks, {}, validate_only=True)[0].value


def test_outputs_get_their_types_and_those_without_stay() -> None:
    """A file is an address of the storage; a secret is sealed."""
    declared = [
        FlowOutput(id="n", value="", type=InputType.INT),
        FlowOutput(id="s", value="", type=InputType.SECRET),
        FlowOutput(id="any", value=""),
        FlowOutput(id="none", value="", type=InputType.INT),
    ]

    found = typed_outputs(declared, {"n": "3", "s": "x", "any": [1]}, encrypt=Encryption(KEY).seal)

    assert (3, [1], None) == (found["n"], found["any"], found["none"])
    assert is_sealed(found["s"])
    with pytest.raises(InvalidInput, match="Invalid value for output `n`"):
        typed_outputs(declared, {"n": "x"})


def test_elements_of_an_output_stay_as_they_are_unless_their_type_is_said() -> None:
    """A list, or JSON text of one, as in Kestra; what is no list is refused."""
    plain = FlowOutput(id="o", value="", type=InputType.ARRAY)
    numbers = FlowOutput(id="o", value="", type=InputType.ARRAY, item_type=InputType.INT)

    assert {"o": [1, "b", None, {"c": True}]} == typed_outputs([plain], {"o": '[1, "b", null, {"c": true}]'})
    assert {"o": [1, "2"]} == typed_outputs([plain], {"o": [1, "2"]})
    assert {"o": [1, 2]} == typed_outputs([numbers], {"o": [1, "2"]})
    with pytest.raises(InvalidInput, match="Expected a list but received `x`"):
        typed_outputs([plain], {"o": "x"})


def test_checks_that_fail_ask_for_the_strictest_behavior() -> None:
    """One that cannot be evaluated blocks."""
    listed = [
        Check(when="{{ inputs.no }}", message="broken", behavior=CheckBehavior.CREATE_EXECUTION),
        Check(when="{{ inputs.x == 'y' }}", message="fails", behavior=CheckBehavior.FAIL_EXECUTION),
        Check(when="{{ inputs.x == 'x' }}", message="holds"),
    ]

    broken, fails = failed_checks(listed, render, {"inputs": {"x": "x"}})

    assert "Failed to evaluate check condition. Cause:" in broken.message
    assert "fails" == fails.message
    assert CheckBehavior.BLOCK_EXECUTION is resolve_behavior([broken, fails])
    assert CheckBehavior.CREATE_EXECUTION is resolve_behavior([])


@pytest.mark.parametrize(
    ("value", "expected"), [("", False), ("0", False), ("-0", False), ("False", False), ("no", True)]
)
def test_truth_is_everything_but_nothing_false_and_zero(value: str, expected: bool) -> None:
    """Kestra's idea of truth."""
    assert expected is value_means_true(value)


def test_an_address_of_a_host_is_asked_for_in_the_older_dialect_only() -> None:
    """2.0 asks for a scheme and nothing more."""
    assert "http:/bla" == cast(InputType.URI, "http:/bla")
    with pytest.raises(ValueError, match="Expected `URI` but received `http:/bla`"):
        cast(InputType.URI, "http:/bla", dialect=Dialect.V1)
