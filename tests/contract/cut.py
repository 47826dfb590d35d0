"""A way to PostgreSQL that can be cut."""

from __future__ import annotations

import asyncio
from pathlib import Path

from psycopg import conninfo


class Cut:
    """
    A way to the server that is cut while something is committed, before or after the server has heard of it.

    `uri` leads through it; `mark` is what the client says when it commits.
    """

    def __init__(self, uri: str, folder: Path, *, heard: bool, mark: bytes = b"COMMIT") -> None:
        about = conninfo.conninfo_to_dict(uri)
        self.uri = conninfo.make_conninfo(uri, host=str(folder), port=5432)
        self._server = f"{about['host']}/.s.PGSQL.{about.get('port') or 5432}"
        self._folder = folder
        self._heard = heard
        self._mark = mark
        self._armed = False
        self._listening: asyncio.Server | None = None
        self._pipes: list[asyncio.StreamWriter] = []

    async def open(self) -> None:
        self._listening = await asyncio.start_unix_server(self._serve, self._folder / ".s.PGSQL.5432")

    def arm(self, mark: bytes | None = None) -> None:
        """Cut it when the client says the mark next, or another one."""
        self._mark = mark or self._mark
        self._armed = True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(self._server)
        self._pipes += [writer, to_server]
        tasks = [
            asyncio.create_task(self._forward(reader, to_server, writer, watched=True)),
            asyncio.create_task(self._forward(from_server, writer, to_server, watched=False)),
        ]
        await asyncio.gather(*tasks)

    async def _forward(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, back: asyncio.StreamWriter, *, watched: bool
    ) -> None:
        while data := await source.read(65536):
            if watched and self._armed and self._mark in data:
                self._armed = False
                if self._heard:
                    target.write(data)
                    await target.drain()
                back.close()
                target.close()
                return
            target.write(data)
            await target.drain()
        target.close()

    async def close(self) -> None:
        assert self._listening is not None
        self._listening.close()
        for pipe in self._pipes:
            pipe.close()
