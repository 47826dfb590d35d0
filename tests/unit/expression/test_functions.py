"""Functions: formats, chance, calendar, outputs, and what goes through the host."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.conformance.expression_world import World
from tests.unit.expression.conftest import renderer
from tiercel.errors import ExpressionError
from tiercel.expression import Engine, Renderer, context
from tiercel.expression.failure import ArgumentRefused

Render = Callable[..., str]
KEY = "I6EGNzRESu3X3pKZidrqCGOHQFUFC0yK"
FLOW: dict[str, Any] = {"flow": {"id": "my_flow", "namespace": "my.company"}, "execution": {"id": "e1"}}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("'NaN' is json", "false"),
        ("fromJson('{\"a\": [1, 2.5, 99999999999]}').a", "[1,2.5,99999999999]"),
        ("fromJson(null)", ""),
        ("fromIon('{a:1,b:\"x\"} {a:2}').b", "x"),
        ("fromIon('{a:1} {b:').a", "1"),
        ("fromIon('{a:1} {a:2}', allRows=true)", '[{"a":1},{"a":2}]'),
        ("fromIon('2024-04-21T23:00:00.000Z')", "2024-04-21T23:00:00Z"),
        ("fromIon('{a:null,b:null.int,c:[null.string]}')", '{"a":null,"b":null,"c":[null]}'),
        ("yaml('a: [1, yes, 2024-01-01, 1.5, ~, true]').a", '[1,"yes","2024-01-01",1.5,null,true]'),
        ("max(1, 5, 3) ~ min(4, 2.5)", "52.5"),
        ("range(0, 10, 5)", "[0,5,10]"),
        ("env('A') ~ env('B', 'd')", "1d"),
        ("env('A') ~ env('API_HOST')", "1h"),
        ("decrypt('" + KEY + "', encrypt('" + KEY + "', 'toto'))", "toto"),
        ("uuid() matches '[0-9a-f-]{36}'", "true"),
        ("id() | length", "22"),
        ("nanoId(8, 'ab') matches '[ab]{8}'", "true"),
        ("ksuid() | length", "27"),
        ("randomInt(3, 4)", "3"),
        (
            "dayOfWeek('2025-01-06T23:00:00+02:00') ~ monthOfYear('2025-01-06') ~ hourOfDay('2025-01-06T09:00:00Z')",
            "MONDAY19",
        ),
        ("isDayWeekInMonth('2025-01-27', 'monday', 'last')", "true"),
        ("isLastWorkingDay('2025-01-30', 'MONDAY THURSDAY')", "true"),
        ("isPublicHoliday('2024-12-25', 'FR')", "true"),
        ("isPublicHoliday('2024-11-01', 'DE', 'DE-BY') ~ isPublicHoliday('2024-11-01', 'DE', 'by')", "truetrue"),
        ("isDateBetween('2024-01-01T00:30:00+01:00', '2023-12-31', '2024-01-01')", "true"),
        ("isDateAfter('2025-01-01T10:00:00', '2025-01-01T10:30:00+01:00')", "true"),
        ("isDateBefore('2025-01-01', '2025-01-01T00:00:01')", "true"),
    ],
)
def test_a_function_has_its_value(render: Render, expression: str, expected: str) -> None:
    """Each expression prints as Kestra prints it."""
    assert expected == render("{{ " + expression + " }}", envs={"A": 1, "api_host": "h"})


def test_outputs_are_found_from_where_a_run_stands(render: Render) -> None:
    """Loops and parents are walked by the values of the runs around."""
    around = {
        "outputs": {"each": {"a": {"x": {"value": "ax"}, "y": {"value": "ay"}}}, "seq": {"v": 1}},
        "parents": [{"task": {"id": "seq"}, "taskrun": {"value": "a"}}],
        "parent": {"task": {"id": "seq"}},
        "task": {"id": "each"},
        "taskrun": {"value": "y", "iteration": 1},
        "tasks": {"t": {"state": "FAILED"}, "u": {"v1": {"state": "FAILED"}}},
    }

    assert "ay" == render("{{ currentEachOutput(outputs.each).value }}", **around)
    assert "ax" == render("{{ iterationOutput() }}", **around)
    assert "ay" == render("{{ iterationOutput('each', 1) }}", **around)
    assert "ax" == render("{{ iterationOutput(outputs.each).value }}", **around)
    assert "ay" == render("{{ iterationOutput(outputs.each, 1).value }}", **around)
    assert '{"v":1}' == render("{{ parentOutput() }}", **around)
    assert '[{"state":"FAILED","taskId":"t"},{"state":"FAILED","value":"v1","taskId":"u"}]' == render(
        "{{ tasksWithState('failed') }}", **around
    )


def test_an_environment_variable_that_is_empty_has_the_default(render: Render) -> None:
    """A default stands for a variable that is missing or empty."""
    assert "d|d|" == render("{{ env('E', 'd') }}|{{ env('N', 'd') }}|{{ env('E') }}", envs={"E": ""})


def _with(dialect: str, **options: Any) -> tuple[Renderer, World]:
    own = renderer(dialect)
    host = own.host
    assert isinstance(host, World)
    return Renderer(own.engine, host, **options), host


def test_a_secret_is_read_whole_or_in_part() -> None:
    """A secret comes from the flow's namespace; previews mask it, a missing one fails."""
    own, host = _with("2.x")
    host.secrets["my.company", "K"] = '{"a": 1, "b": ["x"]}'

    assert '1["x"]' == own.render("{{ secret('K', subkey='a') }}{{ secret('K', subkey='b') }}", FLOW)
    assert "x" == own.render("{{ fromJson(secret('K', full=true).value).b[0] }}", FLOW)
    assert "******" == Renderer(own.engine, host, mask_secrets=True).render("{{ secret('K') }}", FLOW)
    with pytest.raises(ExpressionError, match="Secret not found: NO"):
        own.render("{{ secret('NO') }}", FLOW)


@pytest.mark.parametrize(("recursive", "expression"), [(True, "vars.x"), (False, "render(vars.x)")])
def test_a_secret_is_not_rendered_once_more(recursive: bool, expression: str) -> None:
    """What looks like an expression in a secret is part of it, however often the text around is rendered."""
    _, host = _with("2.x")
    host.secrets["my.company", "open"], host.secrets["my.company", "whole"] = "a{#b", "a_{{ no }}_b"
    own = Renderer(Engine(dialect="2.x", recursive=recursive), host)
    held = {**FLOW, "vars": {"x": "{{ secret('open') }} {{ secret('whole', full=true).value }}"}}

    assert "a{#b a_{{ no }}_b" == own.render("{{ " + expression + " }}", held)


def test_a_missing_key_is_null_in_the_first_dialect_and_an_error_in_the_second() -> None:
    """The default of errorOnMissing changed; in 2.x parent namespaces are searched, too."""
    first, _ = _with("1.x")
    second, host = _with("2.x")
    host.kv_values["my", "k"] = ({"f": 1}, None)
    host.kv_values["my.company", "old"] = (1, host.now() - timedelta(hours=1))

    assert "" == first.render("{{ kv('k') }}", FLOW)
    assert "1" == second.render("{{ kv('k').f }}", FLOW)
    with pytest.raises(ExpressionError, match="expired"):
        second.render("{{ kv('old') }}", FLOW)
    with pytest.raises(ExpressionError, match="does not exist in the namespace 'other'"):
        second.render("{{ kv('k', 'other') }}", FLOW)


def test_files_are_read_where_they_may_be() -> None:
    """Namespace files by path, storage files by URI; in 1.x only those of this execution or its parent."""
    first, host = _with("1.x")
    uri = "kestra:///my/company/my-flow/executions/e1/tasks/t/r/f.txt"
    host.files[uri.removeprefix("kestra://")] = b"content"
    host.namespace_files["my.company", "a/b.txt"] = [b"one", b"two"]
    other = {**FLOW, "execution": {"id": "e2"}}

    assert "content7" == first.render("{{ read(u) }}{{ fileSize(u) }}", {**FLOW, "u": uri})
    assert "two" == first.render("{{ read('a/b.txt') }}", FLOW)
    assert "oneone" == first.render("{{ read('a/b.txt', revision=1) }}{{ read('a/b.txt', version=1) }}", FLOW)
    assert "two" == first.render("{{ read(fileURI('a/b.txt')) }}", FLOW)
    assert "falsetrue" == first.render("{{ fileExists('no') }}{{ fileExists('a/b.txt') }}", FLOW)
    assert "content" == Renderer(renderer("2.x").engine, host).render("{{ read(u) }}", {**other, "u": uri})
    with pytest.raises(ArgumentRefused, match=r"^Unable to read the file"):
        first.render("{{ read(u) }}", {**other, "u": uri})
    with pytest.raises(ExpressionError, match="must not contain"):
        first.render("{{ read('../x') }}", FLOW)
    with pytest.raises(ExpressionError, match="does not exist"):
        first.render("{{ read('no') }}", FLOW)


def test_an_http_answer_is_read_by_its_type() -> None:
    """JSON and YAML answers become values; a status of 400 and more fails."""
    own, host = _with("2.x")
    host.stubs = {"GET /a": {"headers": {"Content-Type": "application/json"}, "body": '{"x": [1]}'}}

    assert "1" == own.render("{{ http('http://stub.invalid/a', query={'q': 1}).x[0] }}", FLOW)
    assert "1" == own.render("{{ http('http://stub.invalid/a', headers=h).x[0] }}", {**FLOW, "h": {1: 2}})
    with pytest.raises(ExpressionError, match="status 404 : Not Found"):
        own.render("{{ http('http://stub.invalid/b') }}", FLOW)


def test_context_holds_what_is_known_and_nothing_else() -> None:
    """Names nest at dots, the first of two labels wins, what is unknown is left out."""
    facts = context.Facts(
        dialect="2.x",
        flow={"id": "f", "namespace": "n", "revision": None},
        inputs={"a.b": 1, "a.c": 2},
        labels=[("system.x", "1"), ("system.x", "2"), ("k", "v")],
        trigger={"id": "t", "type": "T"},
        iteration=context.Iteration(index=1, value="v"),
        iteration_parents=(context.Iteration(index=0, value="p", key="k"),),
    )

    built = context.build(facts)

    assert {"id": "f", "namespace": "n"} == built["flow"]
    assert {"a": {"b": 1, "c": 2}} == built["inputs"]
    assert {"system": {"x": "1"}, "k": "v"} == built["labels"]
    assert {"id": "t", "type": "T", "_context": {"id": "t", "type": "T"}} == built["trigger"]
    parent = {"index": 0, "key": "k", "value": "p"}
    assert {"index": 1, "value": "v", "parent": parent, "parents": [parent]} == built["item"]
    assert {"envs", "globals", "flow", "inputs", "labels", "trigger", "item"} == built.keys()


def test_when_parent_or_i18n_is_called_then_the_reason_is_told(render: Render) -> None:
    """Both functions exist, and lean on what an installation does not have."""
    with pytest.raises(ExpressionError, match="Can not use parent function if template does not extend"):
        render("{{ parent() }}")
    with pytest.raises(ExpressionError, match="Can't find bundle for base name messages"):
        render("{{ i18n('messages', 'hello') }}")


def test_when_a_date_between_two_has_no_offset_then_it_is_refused(render: Render) -> None:
    """Three dates are compared as points in time, which a time without an offset does not name."""
    with pytest.raises(ExpressionError, match="has no offset; end it with 'Z'"):
        render("{{ isDateBetween('2025-01-01T00:00:00', '2024-01-01T00:00:00Z', '2026-01-01T00:00:00Z') }}")
