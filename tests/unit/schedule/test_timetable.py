"""Dates of cron expressions in zones, against a brute-force enumeration and by example."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiercel.schedule.cron import Cron, InvalidCron, parse_cron
from tiercel.schedule.timetable import CronTimetable, DatesTimetable
from tiercel.schedule.zone import InvalidZone, find_zone, transitions

PARIS = "Europe/Paris"
ZONES = (PARIS, "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Africa/Cairo", "UTC", "+05:30")


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def dates(cron: str, zone: str, begin: str, end: str) -> list[str]:
    """Return all dates in [begin, end), written in the zone."""
    table = CronTimetable(parse_cron(cron), find_zone(zone))
    found, at, last = [], instant(begin) - timedelta(seconds=1), instant(end)
    while (date := table.after(at)) is not None and date < last:
        found.append(date.astimezone(table.zone).isoformat())
        at = date
    return found


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        ("* * * * *", "2024-07-15T10:20:30+00:00", "2024-07-15T10:21:00+00:00"),
        ("* * * * * *", "2024-07-15T10:20:30+00:00", "2024-07-15T10:20:31+00:00"),
        ("1 1 1 1 1", "2024-07-15T10:20:00+00:00", "2025-01-01T01:01:00+00:00"),
        ("0 9 * * 0", "2024-07-15T10:20:00+00:00", "2024-07-21T09:00:00+00:00"),
        ("0 9 * * 7", "2024-07-15T10:20:00+00:00", "2024-07-21T09:00:00+00:00"),
        ("0 9 * * SUN", "2024-07-15T10:20:00+00:00", "2024-07-21T09:00:00+00:00"),
        ("0 0 13 * FRI", "2024-07-15T10:20:00+00:00", "2024-07-19T00:00:00+00:00"),
        ("0 0 29 2 *", "2024-07-15T10:20:00+00:00", "2028-02-29T00:00:00+00:00"),
        ("0 12 L * *", "2024-07-01T12:00:00+00:00", "2024-07-31T12:00:00+00:00"),
        ("0 12 L-2 2 *", "2024-02-01T12:00:00+00:00", "2024-02-27T12:00:00+00:00"),
        ("0 12 LW 6 *", "2024-06-01T12:00:00+00:00", "2024-06-28T12:00:00+00:00"),
        ("0 12 15W 6 *", "2024-06-01T12:00:00+00:00", "2024-06-14T12:00:00+00:00"),
        ("0 12 * * 5L", "2024-07-01T12:00:00+00:00", "2024-07-26T12:00:00+00:00"),
        ("0 12 * * MON#2", "2024-07-01T12:00:00+00:00", "2024-07-08T12:00:00+00:00"),
        ("@hourly", "2024-07-15T10:20:00+00:00", "2024-07-15T11:00:00+00:00"),
        ("@weekly", "2024-07-15T10:20:00+00:00", "2024-07-21T00:00:00+00:00"),
        ("5/20 * * JUL-AUG MON-FRI", "2024-07-19T23:45:00+00:00", "2024-07-22T00:05:00+00:00"),
        ("0 0 * * FRI-SUN", "2024-07-15T10:20:00+00:00", "2024-07-19T00:00:00+00:00"),
    ],
)
def test_the_next_date_follows_the_expression(cron: str, after: str, expected: str) -> None:
    """Fields, names, nicknames, steps and counts from the end mean what they mean in Kestra."""
    assert instant(expected) == CronTimetable(parse_cron(cron), UTC).after(instant(after))


@pytest.mark.parametrize(
    "text",
    ["", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "5-3 * * * *", "*/0 * * * *",
     "* * * * FOO", "a b c d e", "* * * * * * *", "*/61 * * * *", "1-2-3 * * * *", "@never", "? * * * *"],
)  # fmt: skip
def test_an_expression_that_is_none_is_refused(text: str) -> None:
    """Ranges are strict, in order, and every field is known."""
    with pytest.raises(InvalidCron, match="not a cron expression"):
        parse_cron(text)


def test_six_fields_need_the_word_of_the_author() -> None:
    """Without `withSeconds` an expression has five fields, with it six."""
    with pytest.raises(InvalidCron, match="withSeconds"):
        parse_cron("* * * * * *", with_seconds=False)
    with pytest.raises(InvalidCron):
        parse_cron("* * * * *", with_seconds=True)
    assert "@daily" == parse_cron("@daily", with_seconds=True).text


def test_a_date_that_never_comes_is_no_date() -> None:
    """The search ends."""
    table = CronTimetable(parse_cron("0 0 31 2 *"), find_zone(PARIS))
    assert table.after(instant("2024-01-01T00:00:00+00:00")) is None
    assert table.before(instant("2024-01-01T00:00:00+00:00")) is None


def test_a_fixed_time_in_a_gap_fires_once_at_the_first_instant_after_it() -> None:
    """Paris skips 2:00 to 3:00 on 31 March 2024."""
    expected = ["2024-03-30T02:30:00+01:00", "2024-03-31T03:00:00+02:00", "2024-04-01T02:30:00+02:00"]
    assert expected == dates("30 2 * * *", PARIS, "2024-03-30T00:00:00+01:00", "2024-04-02T00:00:00+02:00")
    assert ["2024-03-31T03:00:00+02:00"] == dates(
        "0,30 2,3 * * *", PARIS, "2024-03-31T00:00:00+01:00", "2024-03-31T03:30:00+02:00"
    )


def test_a_fixed_time_in_an_overlap_fires_once_the_first_time() -> None:
    """Paris has 2:00 to 3:00 twice on 27 October 2024."""
    expected = ["2024-10-27T02:30:00+02:00", "2024-10-28T02:30:00+01:00"]
    assert expected == dates("30 2 * * *", PARIS, "2024-10-27T00:00:00+02:00", "2024-10-29T00:00:00+01:00")


def test_repeating_patterns_fire_at_every_real_interval() -> None:
    """A gap leaves out no real hour, an overlap doubles none."""
    spring = dates("0 * * * *", PARIS, "2024-03-31T01:00:00+01:00", "2024-03-31T04:00:00+02:00")
    assert ["2024-03-31T01:00:00+01:00", "2024-03-31T03:00:00+02:00"] == spring
    autumn = dates("*/30 * * * *", PARIS, "2024-10-27T02:00:00+02:00", "2024-10-27T03:00:00+01:00")
    assert ["02:00:00+02:00", "02:30:00+02:00", "02:00:00+01:00", "02:30:00+01:00"] == [date[11:] for date in autumn]


def test_the_first_and_last_days_of_a_gap_at_midnight_count() -> None:
    """Cairo skips the hour after midnight on 26 April 2024: a daily schedule fires at one."""
    assert ["2024-04-26T01:00:00+03:00", "2024-04-27T00:00:00+03:00"] == dates(
        "@daily", "Africa/Cairo", "2024-04-25T12:00:00+02:00", "2024-04-27T12:00:00+03:00"
    )


def test_an_unknown_zone_is_refused_and_offsets_are_known() -> None:
    """Zones come from the pinned package; Java's offsets are understood."""
    for name in ("Asia/Delhi", "../etc/passwd", "", "Europe"):
        with pytest.raises(InvalidZone):
            find_zone(name)
    assert timedelta(hours=5, minutes=30) == find_zone("GMT+5:30").utcoffset(None)
    assert [instant("2024-03-31T01:00:00+00:00"), instant("2024-10-27T01:00:00+00:00")] == [
        change.at for change in transitions(find_zone(PARIS), 2024)
    ]


def test_given_dates_are_walked_in_order() -> None:
    """Unsorted and repeated dates are one list."""
    day = [instant(f"2024-07-{day:02}T00:00:00+00:00") for day in (3, 1, 2, 1)]
    table = DatesTimetable(day, UTC)
    assert (day[1], day[2], day[0], None) == (
        table.after(day[1] - timedelta(1)), table.after(day[1]), table.after(day[2]), table.after(day[0])
    )  # fmt: skip
    assert (None, day[2]) == (table.before(day[1]), table.before(day[0]))


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    pair = st.tuples(number, number).map(sorted)
    return st.one_of(
        st.just("*"),
        number.map(str),
        st.integers(1, high - low).map(lambda step: f"*/{step}"),
        pair.map(lambda ends: f"{ends[0]}-{ends[1]}"),
        st.tuples(pair, st.integers(1, 5)).map(lambda it: f"{it[0][0]}-{it[0][1]}/{it[1]}"),
        st.lists(number, min_size=1, max_size=3).map(lambda numbers: ",".join(map(str, numbers))),
    )


CRONS = st.tuples(
    field(0, 59),
    st.one_of(field(0, 23), st.sampled_from(["0", "1", "2", "1-3"])),
    field(1, 31),
    field(1, 12),
    field(0, 7),
).map(" ".join)
CHANGES = {
    zone: [change.at for year in (2017, 2024) for change in transitions(find_zone(zone), year)]
    or [datetime(2024, 3, 1, tzinfo=UTC)]
    for zone in ZONES
}


def by_hand(cron: Cron, zone: str, begin: datetime, end: datetime) -> list[datetime]:
    """Return the dates in [begin, end), by looking at every minute of the wall clock and of the real one."""
    tz = find_zone(zone)
    found: set[datetime] = set()
    minute = begin - timedelta(days=2)
    shown: dict[datetime, list[datetime]] = {}
    while minute < end + timedelta(days=2):
        shown.setdefault(minute.astimezone(tz).replace(tzinfo=None, fold=0), []).append(minute)
        minute += timedelta(minutes=1)
    wall, last = min(shown), max(shown)
    while wall <= last:
        on_this_day = wall.month in cron.months and wall.day in cron._days_of(wall.year, wall.month)
        if on_this_day and wall.minute in cron.times.minutes and wall.hour in cron.times.hours:
            real = shown.get(wall)
            if real:
                found.update(real[:1] if cron.fixed_time else real)
            elif cron.fixed_hours:
                later = wall
                while later not in shown:
                    later += timedelta(minutes=1)
                found.add(shown[later][0])
        wall += timedelta(minutes=1)
    return sorted(date for date in found if begin <= date < end)


@settings(max_examples=60, deadline=None)
@given(cron=CRONS, zone=st.sampled_from(ZONES), change=st.integers(0, 10), shift=st.integers(-1500, 1500))
def test_next_and_previous_agree_with_an_enumeration(cron: str, zone: str, change: int, shift: int) -> None:
    """Around every change of the clock, walking forwards and backwards finds exactly the dates of the enumeration."""
    changes = CHANGES[zone]
    begin = (changes[change % len(changes)] + timedelta(minutes=shift)).replace(second=0)
    end = begin + timedelta(hours=8)
    parsed = parse_cron(cron)
    table = CronTimetable(parsed, find_zone(zone))
    forward, at = [], begin - timedelta(seconds=1)
    while (date := table.after(at)) is not None and date < end:
        forward.append(date)
        at = date
    back, at = [], end
    while (date := table.before(at)) is not None and date >= begin:
        back.append(date)
        at = date

    expected = by_hand(parsed, zone, begin, end)

    assert expected == forward
    assert expected == back[::-1]
