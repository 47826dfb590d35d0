"""Durations: ISO-8601 and seconds, to and from timedeltas."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tiercel.model.duration import format_duration, parse_duration


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("PT30S", timedelta(seconds=30)),
        ("PT0.25s", timedelta(milliseconds=250)),
        ("P1D", timedelta(days=1)),
        ("P1DT2H3M4.5S", timedelta(days=1, hours=2, minutes=3, seconds=4.5)),
        ("P2W", timedelta(weeks=2)),
        ("-PT1M", timedelta(minutes=-1)),
        (90, timedelta(seconds=90)),
        (0.5, timedelta(seconds=0.5)),
    ],
)
def test_durations_are_read_as_iso_text_or_seconds(written: str | float, expected: timedelta) -> None:
    """Flows write ISO-8601, some a number of seconds."""
    assert expected == parse_duration(written)


@pytest.mark.parametrize("written", ["", "P", "PT", "5 minutes", "PT5X", "P1Y", "P99999999999D"])
def test_what_is_no_duration_is_refused_with_an_example(written: str) -> None:
    """The sentence says what would be right."""
    with pytest.raises(ValueError, match="write"):
        parse_duration(written)


@pytest.mark.parametrize("written", ["PT0S", "PT0.25S", "PT26H", "PT1H1M1S", "PT20S"])
def test_a_written_duration_reads_back(written: str) -> None:
    """Writing is the inverse of reading, in hours, minutes and seconds."""
    assert written == format_duration(parse_duration(written))
