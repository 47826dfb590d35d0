"""
Statements that go to the server in one flush, and whose answers are read in one go.

The library's pipeline sends each statement by itself and looks for answers after each. With ten statements in a
transaction that is most of the time between an event and its effect. Here all are queued in libpq, prepared where they
are new to the connection, and sent together; parameters and rows are converted by the library as ever.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from psycopg import errors
from psycopg.abc import Buffer, PQGen
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ExecStatus, Format, PipelineStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Ready, Wait

from tiercel.runtime.postgres.array import Column
from tiercel.runtime.postgres.prompt import Prepared, PromptConnection

Parameters = Mapping[str, Any]
Statement = tuple[bytes, Parameters]
Rows = list[tuple[Any, ...]]

_PLACEHOLDER: Final = re.compile(rb"%\((\w+)\)s|%%")
_INT8: Final = 20
_TEXT: Final = 25
"""PostgreSQL's numbers (OIDs) of these types."""
_Sent = tuple[Sequence[Buffer | None], tuple[int, ...], Sequence[Format]]
"""Parameters as they are sent: values, types, formats."""
_END: Final = b""
"""In place of a statement: a transaction ends."""


class Batch:
    """
    Statements in order. Those up to an `end` are one transaction, unless one of them begins one of its own.

    A statement that fails undoes its transaction; the ones after the `end` are run all the same.
    """

    def __init__(self, statements: Iterable[Statement] = ()) -> None:
        self._statements = list(statements)

    def add(self, statement: bytes, parameters: Parameters | None = None) -> None:
        """Append a statement; parameters are written `%(name)s`."""
        self._statements.append((statement, parameters or {}))

    def extend(self, statements: Iterable[Statement]) -> None:
        """Append statements."""
        self._statements.extend(statements)

    def end(self) -> None:
        """End the transaction."""
        self._statements.append((_END, {}))

    async def rows(self, connection: PromptConnection) -> list[Rows]:
        """Run everything; return the rows of each statement, or raise the first error of the library."""
        transformer = Transformer(connection)
        found = []
        for result in await self.run(connection):
            transformer.set_pgresult(result)
            found.append(transformer.load_rows(0, result.ntuples, tuple))
        return found

    async def run(self, connection: PromptConnection) -> list[PGresult]:
        """Run everything; return what the server said to each statement, or raise the first error of the library."""
        self.end()
        pgconn = connection.pgconn
        pgconn.enter_pipeline_mode()
        try:
            sending = _Sending(connection)
            for statement, parameters in self._statements:
                sending.add(statement, parameters)
            answers = await connection.wait(_exchange(pgconn, len(sending.is_call)))
        finally:
            if pgconn.pipeline_status != PipelineStatus.OFF:
                with contextlib.suppress(errors.Error):  # a connection in an unknown state is closed by its pool
                    pgconn.exit_pipeline_mode()
        for answer in answers:
            if answer.status == ExecStatus.FATAL_ERROR:
                raise errors.error_from_result(answer)
        connection.prepared.update(sending.new)
        return [answer for answer, is_call in zip(answers, sending.is_call, strict=True) if is_call]


class _Sending:
    """Calls on their way into libpq; `is_call` says of each answer to expect whether it is that of a statement."""

    def __init__(self, connection: PromptConnection) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self.new: dict[Prepared, bytes] = {}
        self.is_call: list[bool] = []

    def add(self, statement: bytes, parameters: Parameters) -> None:
        if statement is _END:
            self._pgconn.pipeline_sync()
            self.is_call.append(False)
            return
        text = _numbered(statement)
        given = [parameters[name] for name in text.names]
        values, types, formats = _plain(given) or self._converted(given)
        name = self._connection.prepared.get((statement, types)) or self.new.get((statement, types))
        if name is None:
            self._connection.prepared_count += 1
            name = self.new[statement, types] = b"tiercel_%d" % self._connection.prepared_count
            self._pgconn.send_prepare(name, text.sql, types)
            self.is_call.append(False)
        self._pgconn.send_query_prepared(name, values, formats, result_format=Format.BINARY)
        self.is_call.append(True)

    def _converted(self, given: list[Any]) -> _Sent:
        transformer = Transformer(self._connection)
        values = transformer.dump_sequence(given, [PyFormat.AUTO] * len(given))
        return values, transformer.types or (), transformer.formats or ()


def _plain(given: list[Any]) -> _Sent | None:
    """
    Return parameters as they are sent if they are columns, numbers and texts; None if there are others among them.

    This is the hot path, and the library would look for the adapter of each anew.
    """
    values: list[bytes | None] = []
    types, formats = [], []
    for value in given:
        if isinstance(value, Column):
            values.append(value.data)
            types.append(value.array)
            formats.append(Format.BINARY)
        elif type(value) is str or (type(value) is int and value.bit_length() < 64):
            values.append(str(value).encode())
            types.append(_TEXT if type(value) is str else _INT8)
            formats.append(Format.TEXT)
        else:
            return None
    return values, tuple(types), formats


class _Text(msgspec.Struct, frozen=True):
    """A statement as the server wants it, and the names of its parameters in the order of their numbers."""

    sql: bytes
    names: tuple[str, ...]


@functools.cache
def _numbered(statement: bytes) -> _Text:
    numbers: dict[bytes, bytes] = {}

    def number(match: re.Match[bytes]) -> bytes:
        if match[1] is None:
            return b"%"
        return numbers.setdefault(match[1], b"$%d" % (len(numbers) + 1))

    sql = _PLACEHOLDER.sub(number, statement)
    return _Text(sql, tuple(name.decode() for name in numbers))


def _exchange(pgconn: PGconn, expected: int) -> PQGen[list[PGresult]]:
    """Send what is queued and read so many answers; yields what it waits for."""
    while pgconn.flush():
        ready = yield Wait.RW
        if ready & Ready.R:
            pgconn.consume_input()
    answers: list[PGresult] = []
    while len(answers) < expected:
        if pgconn.is_busy():
            yield Wait.R
            pgconn.consume_input()
        elif (answer := pgconn.get_result()) is not None:  # None ends the answers to one statement
            answers.append(answer)
    return answers
