"""
Multipart bodies, read as they arrive: texts stay in memory within a limit, files go to a temporary file.

A part with a file name is a file. Its input is named by the part, or by the file name when the part is called `files`,
as older clients do.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import msgspec
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from tiercel.errors import Refused
from tiercel.runtime.scratch import Scratch
from tiercel.webserver.problem import TooLarge

_PARTS_MAX: Final = 1000
"""More than any flow has inputs; each costs an object until the request is answered."""
_HEADER_MAX: Final = 16 << 10
"""Bytes of one header of a part: a name and a file name."""


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the request, in a temporary file that goes with the form."""

    file_name: str
    path: Path
    size: int
    name: str
    """The name of its part."""
    content_type: str | None
    """What its part says of the content; None when it says nothing."""


class Form:
    """What a multipart body held; `close` removes the temporary files."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.fields: dict[str, list[str]] = {}
        """All texts: several may share a name."""
        self.files: dict[str, Upload] = {}
        self.uploads: list[Upload] = []
        """All files in the order of the body: several may share the name of their part."""
        self._folder: Scratch | None = None

    def folder(self) -> Path:
        if self._folder is None:
            self._folder = Scratch("upload")
        return self._folder.path

    def close(self) -> None:
        if self._folder is not None:
            self._folder.close()


@contextmanager
def form() -> Iterator[Form]:
    """Lend a form and remove its files afterwards."""
    with contextlib.closing(Form()) as form_:
        yield form_


async def read(into: Form, content_type: str, body: AsyncIterator[bytes], text_max: int) -> None:
    """Read a body into the form; raise Refused when it is malformed, TooLarge when a text is too long."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise Refused(f"The body must be 'multipart/form-data' with a boundary, not '{content_type}'.")
    reader = _Reader(into, text_max)
    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": reader.begin,
            "on_header_field": reader.header_name,
            "on_header_value": reader.header_value,
            "on_header_end": reader.header_end,
            "on_headers_finished": reader.headers_finished,
            "on_part_data": reader.data,
            "on_part_end": reader.end,
            "on_end": reader.body_end,
        },
    )
    try:
        async for chunk in body:
            parser.write(chunk)
        parser.finalize()
        reader.finish()
    except MultipartParseError as error:
        raise Refused(f"The multipart body cannot be read: {error}.") from error
    finally:
        reader.close()


class _Reader:
    """Takes what the parser finds."""

    def __init__(self, form_: Form, text_max: int) -> None:
        self._form, self._left, self._parts = form_, text_max, 0
        self._file: IO[bytes] | None = None
        self._is_whole = False
        self.begin()
        self._parts = 0

    def begin(self) -> None:
        self._parts += 1
        if self._parts > _PARTS_MAX:
            raise TooLarge(f"The body has more than {_PARTS_MAX} parts.")
        self._header, self._value = b"", b""
        self._headers: dict[str, bytes] = {}
        self._text: list[bytes] = []
        self._size = 0
        self._name, self._file_name = "", None

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        if len(self._value) > _HEADER_MAX:
            raise TooLarge("A header of a part of the body is too long.")

    def header_end(self) -> None:
        self._headers[self._header.decode("latin-1").lower()] = self._value
        self._header, self._value = b"", b""

    def headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", b""))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        file_name: Any = options.get(b"filename")
        if file_name is not None:
            self._file_name = file_name.decode("utf-8", "replace")
            self._path = self._form.folder() / str(self._parts)
            self._file = self._path.open("wb")

    def data(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        if self._file is not None:
            self._file.write(data[start:end])
            return
        self._left -= end - start
        if self._left < 0:
            raise TooLarge(f"The text '{self._name}' is too long; give it as a file (a part with a file name).")
        self._text.append(data[start:end])

    def end(self) -> None:
        if self._file is None:
            try:
                text = b"".join(self._text).decode()
            except UnicodeDecodeError:
                raise Refused(f"The text '{self._name}' is not UTF-8; give it as a file.") from None
            self._form.texts[self._name] = text
            self._form.fields.setdefault(self._name, []).append(text)
            return
        self.close()
        name = self._file_name or ""
        content_type = self._headers.get("content-type")
        upload = Upload(
            file_name=name.replace("\\", "/").rpartition("/")[2] or "file",
            path=self._path,
            size=self._size,
            name=self._name,
            content_type=content_type.decode("latin-1") if content_type is not None else None,
        )
        self._form.uploads.append(upload)
        self._form.files[name if self._name == "files" and name else self._name] = upload

    def body_end(self) -> None:
        self._is_whole = True

    def finish(self) -> None:
        """Refuse a body that was cut off: its last part would be lost."""
        if self._parts and not self._is_whole:
            raise Refused("The multipart body ends before its last boundary; send it as a whole.")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
