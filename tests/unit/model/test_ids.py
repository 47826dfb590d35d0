"""Ids that the engine makes."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from tiercel.model import ids

AT = datetime(2026, 3, 4, 5, 6, 7, 89_000, UTC)
NUMBERS = (0, 1, 2, 61, 62, 3843, 3844, 1_000_000, (1 << 20) - 1, 1 << 20, (1 << 32) - 1)


def test_numbered_ids_sort_by_their_numbers() -> None:
    """The rows of a wide loop's iterations are appended to a table, however many there are."""
    made = [ids.numbered_id(AT, number, "run") for number in NUMBERS]

    assert sorted(set(made)) == made


def test_a_numbered_id_is_a_function_of_its_causes() -> None:
    """Who decides the same event again asks for the same thing; another cause, number or instant is another thing."""
    made = ids.numbered_id(AT, 7, "run", "iteration")

    assert ids.numbered_id(AT, 7, "run", "iteration") == made
    assert 4 == len({made, ids.numbered_id(AT, 7, "walk"), ids.numbered_id(AT, 8, "run"), ids.numbered_id(AT, 7)})


def test_a_numbered_id_carries_its_instant() -> None:
    """History is partitioned by the instant in front of an id, whatever stands behind it."""
    assert {AT} == {ids.instant_of(ids.numbered_id(AT, number, "run")) for number in NUMBERS}


def test_what_is_written_is_read() -> None:
    """The text of a number is read as this number, the smallest and the largest too."""
    for number in (0, 1, 61, 62, 3843, 3844, 1 << 64, (1 << 128) - 1):
        text = ids.to_text(UUID(int=number))

        assert ids.LENGTH == len(text)
        assert UUID(int=number) == ids.to_uuid(text)
