"""What was heard of each sender."""

from __future__ import annotations

from tiercel.queue.kafka.heard import Heard


def test_what_comes_again_or_late_is_not_new() -> None:
    """Each origin counts for itself."""
    heard = Heard()

    assert [True, True, False, False, True] == [heard.is_new("a", seq) for seq in (1, 3, 3, 2, 4)]
    assert heard.is_new("b", 1)


def test_of_many_senders_those_are_forgotten_that_were_heard_longest_ago() -> None:
    """A process that runs for long has heard many that are gone; who speaks still is remembered."""
    heard = Heard(origins_max=3)
    for number in range(100):
        assert heard.is_new(f"restarted {number}", 1)
        assert (number == 0) == heard.is_new("always", 1)

    assert 3 == len(heard)
    assert not heard.is_new("always", 1)
    assert not heard.is_new("restarted 99", 1)
