"""Archives that people send: a small one may unpack to very much, so its directory is checked first."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterator
from typing import Final

from tiercel.errors import Refused
from tiercel.webserver.multipart import Upload

ENTRIES_MAX: Final = 10_000
"""Files of one archive."""


@contextlib.contextmanager
def opened(upload: Upload, size_max: int) -> Iterator[tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]]:
    """
    Open an archive, and list its files; raise Refused when they are too many, too large, or cannot be unpacked.

    What is read of a file is never longer than the archive says: the reader stops there.
    """
    try:
        with zipfile.ZipFile(upload.path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > ENTRIES_MAX or sum(entry.file_size for entry in entries) > size_max:
                raise Refused(f"The archive holds more than {ENTRIES_MAX} files or {size_max} bytes; send it in parts.")
            yield archive, entries
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:  # all that the library raises
        raise Refused(f"'{upload.file_name}' is not a zip archive that can be unpacked: {error}.") from None
