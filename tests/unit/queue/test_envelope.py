"""How a message lies in a topic, between versions of the program."""

from __future__ import annotations

import pytest

from tiercel.errors import InternalError
from tiercel.messages.topics import EXECUTION_EVENT
from tiercel.queue.kafka.backlog import Backlog
from tiercel.queue.kafka.consumer import Read
from tiercel.queue.kafka.envelope import FORM, Envelope, Kind, pack, unpack


def test_a_message_says_who_sent_it_as_which() -> None:
    """Origin and sequence tell repetitions; the level tells who can read it."""
    assert Envelope("p.executor.1", 7, 2, b"body") == unpack(pack("p.executor.1", 7, 2, b"body"))


def test_a_message_that_can_wait_looks_as_any_other_to_an_older_version() -> None:
    """Its body is packed in the same way: what says that it can wait is a header, which older versions do not read."""
    heard: list[bool] = []
    backlog = Backlog(EXECUTION_EVENT, 0, 0, {}, lambda _, is_eager: heard.append(is_eager))
    value = pack("p", 1, 1, b"body")

    backlog.take([Read(0, "a", value, 0, is_patient=True)])
    backlog.take([Read(1, "a", pack("p", 2, 1, b"body"), 0)])

    assert Kind.MESSAGE is unpack(value).kind
    assert [False, True] == heard
    assert 2 == len(backlog)


def test_a_message_that_a_former_version_let_wait_is_read() -> None:
    """It said so in the head; it is a message as any other."""
    former = bytearray(pack("p", 1, 1, b"body"))
    former[1] = 2

    assert (1, b"body") == (unpack(bytes(former)).seq, unpack(bytes(former)).body)


@pytest.mark.parametrize("value", [b"", bytes([FORM + 1]) + pack("p", 1, 1, b"x")[1:], b"\x01\xff" + b"\0" * 12])
def test_bytes_of_another_form_are_refused(value: bytes) -> None:
    """With a sentence, and without guessing."""
    with pytest.raises(InternalError, match="in a topic"):
        unpack(value)
