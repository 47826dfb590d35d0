"""Files of values: rows of Ion, text or binary, and plain lines, a window at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
from amazon.ion import simpleion

from tiercel.errors import ExpressionError
from tiercel.executor.core.iterations import WINDOW
from tiercel.executor.value_files import FILES_MAX, WINDOW_BYTES, WINDOWS_MAX, ValueFiles
from tiercel.storage.local import LocalStorage


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path)


BINARY = simpleion.dumps([{"a": 1}, "text", 7], binary=True, sequence_as_stream=True)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{a:1,b:"x"}\n{a:2}\n', ['{"a":1,"b":"x"}', '{"a":2}']),
        (b'"quoted"\r\nplain words\n\n42\n{not ion\n', ["quoted", "plain words", "42", "{not ion"]),
        (BINARY, ['{"a":1}', "text", "7"]),
        (b"", []),
    ],
)
async def test_a_row_is_its_text_or_its_json(storage: LocalStorage, content: bytes, expected: list[str]) -> None:
    """Objects become JSON; a line that is not Ion is its own text; empty lines are none."""
    uri = await storage.put("main", "kestra:///rows", content)
    files = ValueFiles(storage)

    assert len(expected) == await files.count("main", uri)
    assert expected == (await files.window("main", uri, 0) if expected else [])


async def test_windows_are_read_from_where_they_begin(storage: LocalStorage) -> None:
    """Any window can be asked for, the last one is shorter; a file that has left is read again."""
    count = 2 * WINDOW + 7
    uri = await storage.put("main", "kestra:///rows", "".join(f"row {n}\n" for n in range(count)).encode())
    files = ValueFiles(storage)

    assert count == await files.count("main", uri)
    for number in range(FILES_MAX):
        other = await storage.put("main", f"kestra:///other-{number}", b"x\n")
        await files.count("main", other)

    assert [f"row {n}" for n in range(2 * WINDOW, count)] == await files.window("main", uri, 2)
    assert [f"row {n}" for n in range(WINDOW)] == await files.window("main", uri, 0)


async def test_windows_that_were_read_lately_are_in_memory(storage: LocalStorage) -> None:
    """As many as iterations of a wide loop ask for at a time, if they are small."""
    uri = await storage.put("main", "kestra:///rows", "".join(f"{n}\n" for n in range(10 * WINDOW)).encode())
    large = await storage.put("main", "kestra:///large", b"x" * WINDOW_BYTES + b"\n")
    files = ValueFiles(storage)

    windows = [await files.window("main", uri, number) for number in range(10)]
    again = [await files.window("main", uri, number) for number in reversed(range(10))]

    assert windows == again[::-1]
    assert WINDOWS_MAX == sum(one is other for one, other in zip(windows, again[::-1], strict=True))
    assert (await files.window("main", large, 0)) is not (await files.window("main", large, 0))


async def test_a_file_that_is_not_there_is_the_authors_to_mend(storage: LocalStorage) -> None:
    """So is a null among its rows."""
    uri = await storage.put("main", "kestra:///rows", simpleion.dumps([1, None], binary=True, sequence_as_stream=True))

    with pytest.raises(ExpressionError, match="does not exist"):
        await ValueFiles(storage).count("main", "kestra:///nothing")
    with pytest.raises(ExpressionError, match="Found a null value"):
        await ValueFiles(storage).count("main", uri)
