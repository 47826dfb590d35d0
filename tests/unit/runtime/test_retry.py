"""Waiting for what is away: said once, counted each time."""

from __future__ import annotations

import logging

import pytest

from tiercel.errors import Refused, Unavailable
from tiercel.runtime import metrics, retry


def actions(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [str(getattr(record, "action", "")) for record in caplog.records if record.name == retry.log.name]


def counted(work: str) -> float:
    return sum(
        sample.value
        for metric in metrics.UNAVAILABLE.collect()
        for sample in metric.samples
        if sample.name.endswith("_total") and sample.labels["work"] == work
    )


def test_an_outage_is_said_at_its_begin_and_at_its_end_and_each_failure_counts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However many rounds fail, the log has two lines."""
    caplog.set_level(logging.INFO)
    outage = retry.Outage("reading of clouds")

    lasted = []
    for fails in (False, True, True, True, False, False):
        with outage:
            if fails:
                raise Unavailable("no sky")
        lasted.append(outage.lasts)

    assert [False, True, True, True, False, False] == lasted
    assert ["outage_begun", "outage_ended"] == actions(caplog)
    assert "reading of clouds: waiting, because no sky" in caplog.text
    assert 3.0 == counted("reading of clouds")


def test_an_error_of_another_kind_passes_through_an_outage() -> None:
    """Only what heals itself is waited for."""
    outage = retry.Outage("reading of stars")

    with pytest.raises(Refused), outage:
        raise Refused("no")

    assert not outage.lasts


async def test_while_a_backend_is_away_calls_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    """The call is made again until it succeeds."""
    left = [Unavailable("away")]

    async def call() -> str:
        if left:
            raise left.pop()
        return "there"

    left.append(Unavailable("away"))
    assert "there" == await retry.waiting("the moon", call)

    assert ["backend_unavailable"] == actions(caplog)
    assert 1.0 == counted("the moon")
