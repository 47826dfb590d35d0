"""Filters over texts, lists, numbers, formats and dates."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from tiercel.errors import ExpressionError
from tiercel.expression.values import Float32

Render = Callable[..., str]
CONTEXT: dict[str, Any] = {
    "zoned": datetime(2013, 9, 8, 16, 19, 12, 123456, tzinfo=timezone(timedelta(hours=1))),
    "local": datetime(2013, 9, 8, 16, 19, 12),
    "day": date(2024, 2, 29),
    "single": Float32(1.123),
    "words": ["b", "a", "c"],
    "map": {"x": 1, "y": ["p", {"q": "yes"}]},
}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("'abcdefgh' | abbreviate(6)", "abc..."),
        ("'abcdef' | abbreviate(6)", "abc..."),
        ("'abcdefgh' | abbreviate('6')", "abc..."),
        ("'abc' | abbreviate(2)", "abc"),
        ("'\u00a0 x \t' | trim", "\u00a0 x"),
        ("[1] | merge({'a': 2})", '[1,{"a":2}]'),
        ("'abc' | length | className", "java.lang.Integer"),
        ("'hello world' | capitalize", "Hello world"),
        ("'hello world' | title", "Hello World"),
        ("'Ça va_bien ?' | slugify", "ca-va-bien"),
        ("'--Test\t\t\ntest9*' | slugify", "test-test9"),
        ("'a.b.c' | substringBefore('.')", "a"),
        ("'a.b.c' | substringAfterLast('x')", ""),
        ("'a.b.c' | substringBeforeLast(separator='x')", "a.b.c"),
        ("'a1b22c,' | split('[0-9]+')", '["a","b","c,"]'),
        ("'a,b,,' | split(',')", '["a","b"]'),
        ("'a,b,c' | split(',', 2)", '["a","b,c"]'),
        ("'x\ny' | indent(2)", "x\n  y"),
        ("'x' | nindent(1, '-')", "\n-x"),
        ("'aXb' | replace({'X': '$1'})", "a$1b"),
        ("'a1' | replace({'(\\d)': '<$1>'}, regexp=true)", "a<1>"),
        ("['X', {'k': 'X'}] | replace({'X': 'y'})", '["y",{"k":"y"}]'),
        ("'a-1' | regexExtract('[a-z]-(\\d)', 1)", "1"),
        ("\"it's\" | escapeChar('shell')", "it'\\''s"),
        ("'a b&ü~' | urlencode", "a+b%26%C3%BC%7E"),
        ("'ü' | base64encode | base64decode", "ü"),
        ("'aGk' | base64decode", "hi"),
        ("'hello' | md5", "5d41402abc4b2a76b9719d911017c592"),
        ("words | sort | join('-')", "a-b-c"),
        ("words | rsort | first", "c"),
        ("[3, 1.5, 2] | sort", "[1.5,2,3]"),
        ("[1, '1', 1] | distinct", '[1,"1"]'),
        ("null | distinct", "null"),
        ("12.5 | string | className", "java.lang.String"),
        ("'1e3' | string", "1e3"),
        ("'a' | string ~ (true | string)", "atrue"),
        ("{'a': 'b'} | string", "{a=b}"),
        ("null | string", ""),
        ("null | regexMatch('.*')", "false"),
        ("[1, [2, [3]]] | flatten", "[1,2,[3]]"),
        ("[1, 2, 3] | chunk(2)", "[[1,2],[3]]"),
        ("'abc' | slice(1, 2) ~ ([1, 2] | length)", "b2"),
        ("map | keys", '["x","y"]'),
        ("{'a': 1} | merge({'b': 2})", '{"a":1,"b":2}'),
        ("missing | default('d')", "d"),
        ("'12' | number | className", "java.lang.Integer"),
        ("'12.3' | number | className", "java.lang.Float"),
        ("'12.3' | number('BIGDECIMAL') | className", "java.math.BigDecimal"),
        ("single", "1.123"),
        ("1234567.891 | numberFormat('#,##0.00')", "1,234,567.89"),
        ("0.256 | numberFormat('#.#%')", "25.6%"),
        ("0.5 | numberFormat('#.##')", "0.5"),
        ("0.5 | numberFormat('.##')", ".5"),
        ("0.5 | numberFormat('#.00')", ".50"),
        ("12345 | numberFormat('0.###E0')", "1.234E4"),
        ("12345 | numberFormat('##0.##E0')", "12.3E3"),
        ("0.00123 | numberFormat('0.0E00')", "1.2E-03"),
        ("-2 | abs", "2"),
        ("map | toJson", '{"x":1,"y":["p",{"q":"yes"}]}'),
        ("map | toIon", '{x:1,y:["p",{q:"yes"}]}'),
        ("map | yaml", 'x: 1\n"y":\n - p\n - q: "yes"\n'),
        ("map | jq('.y[0], .x')", '["p",1]'),
        ("map | jq('env, $ENV')", "[{},{}]"),
        ("zoned | date('yyyy-MM-dd HH:mm:ss.SSS XXX', timeZone='Europe/Paris')", "2013-09-08 17:19:12.123 +02:00"),
        (
            "zoned | date(\"EEEE d MMMM yyyy 'at' h a\", timeZone='Europe/Paris', locale='fr')",
            "dimanche 8 septembre 2013 at 5 PM",
        ),
        ("zoned | date('iso_week_date')", "2013-W36-7Z"),
        ("zoned | date('rfc_1123_date_time', timeZone='Asia/Tokyo')", "Mon, 9 Sep 2013 00:19:12 +0900"),
        ("zoned | date('z VV O', timeZone='America/New_York')", "EDT America/New_York GMT-4"),
        ("local | date", "2013-09-08T16:19:12.000000Z"),
        ("day | date('yyyy-DDD HH')", "2024-060 12"),
        ("'08.09.2023' | date('yyyy-MM-dd', existingFormat='dd.MM.yyyy')", "2023-09-08"),
        ("'July 4, 2001 3:05 PM' | date('sql_seq', existingFormat='MMMM d, yyyy h:mm a')", "2001-07-04 15:05:00"),
        ("zoned | date('F B')", "2 in the afternoon"),
        (
            "'Sun, 8 Sep 2013 10:11:12 GMT' | date('iso_sec', existingFormat='rfc_1123_date_time')",
            "2013-09-08T10:11:12Z",
        ),
        ("'2013-251' | date('iso_sec', existingFormat='iso_ordinal_date')", "2013-09-08T00:00:00Z"),
        ("'2013-W36-7' | date('iso_sec', existingFormat='iso_week_date')", "2013-09-08T00:00:00Z"),
        ("day | dateAdd(1, 'YEARS') | date('iso_local_date')", "2025-02-28"),
        (
            "'2024-03-31T00:30:00+01:00' | dateAdd(2, 'HOURS', timeZone='Europe/Paris')",
            "2024-03-31T03:30:00.000000+02:00",
        ),
        ("zoned | timestamp", "1378653552"),
        ("zoned | timestampNano", "1378653552123456000"),
        ("zoned", "2013-09-08T16:19:12.123456+01:00"),
        ("[zoned, day]", '["2013-09-08T16:19:12.123456+01:00","2024-02-29"]'),
    ],
)
def test_a_filter_has_its_value(render: Render, expression: str, expected: str) -> None:
    """Each expression prints as Kestra prints it."""
    assert expected == render("{{ " + expression + " }}", **CONTEXT)


@pytest.mark.parametrize(
    "expression",
    [
        "1 | nope",
        "'a' | indent(-1)",
        "'x' | number",
        "'a' | escapeChar('odd')",
        "1 | jq('.[')",
        "'x' | date",
        "'a' | chunk(2)",
        "1 | date('b')",
        "1 | dateAdd(1, 'MOONS')",
        "'a' | date(nope=1)",
        "'a' | upper(1)",
        "'[' | jq('.')",
        "'%' | base64decode",
        "'aGk=a' | base64decode",
        "'a' | base64decode",
        "'abc' | slice(1, 1)",
        "'abc' | slice('x')",
        "'abc' | slice(0, 4)",
        "1 | numberFormat('0#')",
        "'2013-366' | date(existingFormat='iso_ordinal_date')",
        "'yesterday' | date(existingFormat='rfc_1123_date_time')",
    ],
)
def test_a_wrong_use_fails(render: Render, expression: str) -> None:
    """A filter that cannot work says so."""
    with pytest.raises(ExpressionError):
        render("{{ " + expression + " }}")


def test_the_second_dialect_has_other_filters(render: Render, render_second: Render) -> None:
    """In 2.x `json` is gone, and timestampMicro gives microseconds."""
    assert "1378653552000123456" == render("{{ zoned | timestampMicro }}", **CONTEXT)
    assert "1378653552123456" == render_second("{{ zoned | timestampMicro }}", **CONTEXT)
    assert "1" == render("{{ 1 | json }}")
    with pytest.raises(ExpressionError, match="does not exist"):
        render_second("{{ 1 | json }}")


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("'a' | abbreviate('x')", "a whole number is expected, not 'x'"),
        ("'a' | indent(null)", "a whole number is expected, not null"),
        ("[1] | chunk([2])", "a whole number is expected, not a java.util.ArrayList"),
        ("[1].get('a')", "a whole number is expected, not 'a'"),
        ("nanoId({})", "a whole number is expected, not a java.util.LinkedHashMap"),
    ],
)
def test_an_argument_that_is_no_number_is_named_in_words_of_the_author(
    render: Render, expression: str, said: str
) -> None:
    """What a message names is the value and what was expected, not how it was read."""
    with pytest.raises(ExpressionError, match=said):
        render("{{ " + expression + " }}")
