"""What a query string asks for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tiercel.errors import Refused
from tiercel.repository.base import Sort
from tiercel.repository.filter import Field, Filter, Op
from tiercel.webserver.problem import BadFilter
from tiercel.webserver.query import EXECUTION_FIELDS, LOG_FIELDS, Query, label_list, labels, read_instant

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def filters(text: str) -> list[Filter]:
    return Query(text).filters("EXECUTION", EXECUTION_FIELDS, NOW)


def test_flat_parameters_become_filters() -> None:
    """The older form: a namespace is a prefix, states may be repeated or joined by commas."""
    found = filters("namespace=a.b&flowId=f&state=RUNNING,FAILED&state=PAUSED&labels=k:v:w&other=1&q=")

    assert [
        Filter(field=Field.NAMESPACE, op=Op.PREFIX, value="a.b"),
        Filter(field=Field.FLOW_ID, value="f"),
        Filter(field=Field.LABELS, value=("k", "v:w")),
        Filter(field=Field.STATE, op=Op.IN, value=("RUNNING", "FAILED", "PAUSED")),
    ] == found


def test_named_operations_become_filters() -> None:
    """The newer form names field and operation; labels name their key."""
    found = filters(
        "filters[namespace][PREFIX]=a&filters[labels][EQUALS][k]=x,y&filters[state][NOT_IN]=FAILED,SUCCESS"
        "&filters[startDate][EQUALS]=2026-01-01T00:00:00Z"
    )

    assert [
        Filter(field=Field.NAMESPACE, op=Op.PREFIX, value="a"),
        Filter(field=Field.LABELS, value=("k", "x,y")),
        Filter(field=Field.STATE, op=Op.NOT_IN, value=("FAILED", "SUCCESS")),
        Filter(field=Field.START_DATE, op=Op.GREATER_THAN_OR_EQUAL_TO, value=datetime(2026, 1, 1, tzinfo=UTC)),
    ] == found


def test_a_time_range_ends_now() -> None:
    """The range is a duration before the present."""
    assert [Filter(field=Field.START_DATE, op=Op.GREATER_THAN_OR_EQUAL_TO, value=NOW - timedelta(hours=12))] == filters(
        "timeRange=PT12H"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("state=NONSENSE", "'NONSENSE' is not a state"),
        ("timeRange=P1Y", "'P1Y' is not a duration"),
        ("startDate=0001-01-01T00:00:00%2B14:00", "The parameter 'startDate' must be an instant"),
        ("timeRange=P9999999D", "'P9999999D' reaches beyond the years 1 and 9999"),
        ("filters[timeRange][EQUALS]=-P9999999D", "'-P9999999D' reaches beyond the years 1 and 9999"),
        ("timeRange=PT1H&startDate=2026-01-01T00:00:00Z", "mutually exclusive"),
        ("startDate=2026-01-02T00:00:00Z&endDate=2026-01-01T00:00:00Z", "Start date must be before End Date"),
        ("startDate=yesterday", "must be an instant"),
        ("labels=novalue", "Invalid label"),
        ("kind=OTHER", "is not a kind"),
        ("childFilter=BOTH", "use one of CHILD, MAIN"),
        ("scope=ALL", "use one of USER, SYSTEM"),
        ("filters[namespace]=x", "is not a filter; write it as"),
        ("filters[flowId][REGEX]=(", "is not a regular expression"),
        ("filters[labels][IN][k]=a,b", "A label cannot be compared by IN"),
        ("filters[labels][STARTS_WITH][k]=a", "A label cannot be compared by STARTS_WITH"),
        ("filters[scope][REGEX]=USER", "'scope' cannot be compared by REGEX"),
        ("filters[scope][NOT_IN]=USER,SYSTEM", "'scope' cannot be compared by NOT_IN"),
    ],
)
def test_bad_values_are_refused_with_a_sentence(text: str, says: str) -> None:
    """Each message names the value and what is allowed."""
    with pytest.raises(Refused, match=says):
        filters(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("filters[scope][NOT_EQUALS]=SYSTEM", [Filter(field=Field.SCOPE, value=("USER",))]),
        ("filters[childFilter][NOT_EQUALS]=MAIN", [Filter(field=Field.CHILD_FILTER, value="CHILD")]),
        ("filters[labels][IN][k]=a", [Filter(field=Field.LABELS, value=("k", "a"))]),
        (
            "filters[labels][NOT_IN][k]=a,b",
            [Filter(field=Field.LABELS, op=Op.NOT_EQUALS, value=("k", each)) for each in ("a", "b")],
        ),
    ],
)
def test_a_negative_condition_is_turned_into_what_is_wanted(text: str, expected: list[Filter]) -> None:
    """None of the operations is taken for EQUALS: what is deleted by query is what the query says."""
    assert expected == filters(text)


def test_a_field_of_another_resource_is_refused() -> None:
    """The message lists the fields that there are, by the names that Kestra gives them."""
    with pytest.raises(BadFilter, match="Field TRIGGER_ID is not supported for resource EXECUTION"):
        filters("filters[triggerId][EQUALS]=x")
    with pytest.raises(BadFilter, match="'LIKE' is not an operation"):
        filters("filters[flowId][LIKE]=x")


def test_log_levels_are_checked() -> None:
    """`minLevel` and `level` mean the same."""
    query = Query("minLevel=warn")

    assert [Filter(field=Field.MIN_LEVEL, value="WARN")] == query.filters("LOG", LOG_FIELDS, NOW)
    with pytest.raises(BadFilter, match="A level cannot be compared by NOT_EQUALS"):
        Query("filters[level][NOT_EQUALS]=ERROR").filters("LOG", LOG_FIELDS, NOW)
    with pytest.raises(Refused, match="'LOUD' is not a log level"):
        Query("level=LOUD").filters("LOG", LOG_FIELDS, NOW)


@pytest.mark.parametrize("op", ["IN", "NOT_IN", "CONTAINS", "STARTS_WITH", "PREFIX", "REGEX"])
def test_dates_are_compared_as_dates(op: str) -> None:
    """Not as texts."""
    with pytest.raises(BadFilter, match=f"'endDate' cannot be compared by {op}; use one of EQUALS, "):
        Query(f"filters[endDate][{op}]=2024-01-01").filters("EXECUTION", EXECUTION_FIELDS, NOW)


@pytest.mark.parametrize("op", ["IN", "NOT_IN"])
def test_words_are_no_list(op: str) -> None:
    """They are found in a text, or not."""
    with pytest.raises(BadFilter, match=f"A text is not searched for by {op}"):
        Query(f"filters[q][{op}]=a,b").filters("EXECUTION", EXECUTION_FIELDS, NOW)


@pytest.mark.parametrize("number", ["x", "\u00b2", "99999999999999999999"])
def test_attempts_are_numbers_that_can_be_compared(number: str) -> None:
    """With columns of 64 bits."""
    with pytest.raises(Refused, match=f"The attempt number must be a whole number, not '{number}'"):
        Query(f"attempt={number}").filters("LOG", LOG_FIELDS, NOW)


def test_pages_are_bounded() -> None:
    """Pages begin at 1 and end where they can be counted; a size is at most a thousand."""
    page = Query("page=2&size=5000&sort=state.startDate:desc,id:asc").page()

    assert (2, 1000) == (page.number, page.size)
    assert (Sort(field="state.startDate", descending=True), Sort(field="id")) == page.sort
    for text in (
        "page=0",
        "size=-1",
        "size=many",
        "sort=id:up",
        "page=99999999999999999999",
        "page=9223372036854775807",
    ):
        with pytest.raises(Refused):
            Query(text).page()


def test_labels_are_key_and_value() -> None:
    """A key that comes twice must have the same value."""
    assert {"a": "1", "url": "https://x"} == labels(["a:1", "url:https://x", "a:1"])
    for texts in ([":v"], ["k:"], ["k"], ["k:1", "k:2"]):
        with pytest.raises(Refused):
            labels(texts)


def test_labels_of_a_body_are_a_list_or_a_map() -> None:
    """Neither keys nor values are null or empty."""
    assert {"k": "1"} == label_list([{"key": "k", "value": 1}])
    assert {"k": "v"} == label_list({"k": "v"})
    for body in ([{"key": None, "value": None}], [{"key": "k"}], ["k:v"], "k:v", None):
        with pytest.raises(Refused):
            label_list(body)


def test_a_blank_in_an_instant_was_a_plus() -> None:
    """Offsets arrive with their sign decoded as a blank."""
    assert datetime(2024, 1, 7, 17, 43, 11, tzinfo=UTC) == read_instant("d", "2024-01-07T18:43:11 01:00")
