"""The demonstration shows what it says."""

from __future__ import annotations

from demo.__main__ import main


def test_the_demonstration_is_right_in_every_number() -> None:
    """It compares outputs, files, attempts and logs with a calculation of its own."""
    assert 0 == main()
