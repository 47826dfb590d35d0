"""Multipart bodies."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tiercel.errors import Refused
from tiercel.webserver import multipart
from tiercel.webserver.problem import TooLarge

NOT_UTF8 = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n\xff\r\n--b--\r\n'


def encoded(files: object) -> tuple[str, bytes]:
    request = httpx.Request("POST", "http://t", files=files)
    return request.headers["content-type"], request.read()


async def pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_texts_and_files_are_read_however_they_arrive(size: int) -> None:
    """A part with a file name is a file; `files` names the input by its file name."""
    content_type, body = encoded(
        [
            ("text", (None, "grüße")),
            ("data", ("folder/data.bin", b"\x00\r\n--x" * 100)),
            ("files", ("old", b"older form")),
        ]
    )

    with multipart.form() as form:
        await multipart.read(form, content_type, pieces(body, size), 1000)

        assert {"text": "grüße"} == form.texts
        assert {"data": "data.bin", "old": "old"} == {name: upload.file_name for name, upload in form.files.items()}
        assert b"\x00\r\n--x" * 100 == form.files["data"].path.read_bytes()
        path = form.files["old"].path
    assert not path.exists()


async def test_a_long_text_is_refused() -> None:
    """Texts are kept in memory, files are not: the message says what to do."""
    content_type, body = encoded({"text": (None, "x" * 2000)})

    with multipart.form() as form, pytest.raises(TooLarge, match="give it as a file"):
        await multipart.read(form, content_type, pieces(body, 512), 1000)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b""),
        ("text/plain", b"x"),
        ("multipart/form-data; boundary=b", b"nonsense"),
        ("multipart/form-data; boundary=b", NOT_UTF8),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1'),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="x"; filename="y"\r\n\r\n1\r\n--b',
        ),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Dispo"),
    ],
)
async def test_what_is_no_form_is_refused(content_type: str, body: bytes) -> None:
    """A body that cannot be read, or that was cut off, is the caller's mistake: nothing of it is taken."""
    with multipart.form() as form, pytest.raises(Refused):
        await multipart.read(form, content_type, pieces(body, 100), 1000)
