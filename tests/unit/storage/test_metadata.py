"""Notes with an object travel as headers, which know neither capitals nor other scripts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercel.errors import Refused
from tiercel.storage.s3 import metadata

NAMES = st.from_regex(r"\A[A-Za-z0-9_.-]+\Z").filter(lambda name: len(name) < 40)


def test_names_are_written_as_kestra_writes_them() -> None:
    """A bucket that Kestra has filled is understood, and understands us."""
    notes = {"expirationDate": "2026-01-01T00:00:00+00:00", "creationDate": "2025-01-01"}

    written = metadata.headers(notes)

    assert {"x-amz-meta-expiration-date", "x-amz-meta-creation-date"} == set(written)
    assert "2026-01-01T00:00:00+00:00" == written["x-amz-meta-expiration-date"]


@given(st.dictionaries(NAMES, st.text(max_size=50), min_size=1, max_size=3))
def test_what_is_written_is_read(notes: dict[str, str]) -> None:
    """Whatever the names and the texts; headers are plain ASCII without blanks at their ends."""
    written = metadata.headers(notes)
    as_the_server_sends_them = {name.title(): value for name, value in written.items()}

    assert notes == metadata.read(as_the_server_sends_them)
    assert all(value.isascii() and value.isprintable() and value == value.strip() for value in written.values())


def test_other_headers_are_no_notes() -> None:
    """An object without notes has none."""
    assert metadata.read({"Content-Type": "text/plain", "ETag": "1"}) is None
    assert metadata.read(None) is None
    assert {} == metadata.headers(None)


def test_too_many_notes_are_refused_before_the_store_is_asked() -> None:
    """The sentence tells how many bytes there are and may be."""
    with pytest.raises(Refused, match=r"has 3011 bytes; an object store keeps 2048 at most"):
        metadata.headers({"description": "x" * 3000})


def test_a_name_that_cannot_be_a_header_is_refused() -> None:
    """A line break in a name would be another header."""
    with pytest.raises(Refused, match="cannot be the name of a file's metadata"):
        metadata.headers({"a\r\nb": "c"})
