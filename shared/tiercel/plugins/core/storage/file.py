"""Write, Concat, Reverse, Size and Delete: what is done with whole files."""

from __future__ import annotations

import asyncio
import os
import re
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from tiercel.errors import NotFound, TaskFailed
from tiercel.model.property import DYNAMIC, NOT_EMPTY, constant
from tiercel.model.task import Objection
from tiercel.plugins.base import RunContext, RunnableTask
from tiercel.plugins.core.storage.rows import pieces
from tiercel.plugins.objection import list_objections, uri_objections
from tiercel.plugins.registry import register
from tiercel.storage import uris

_EXTENSION: Final = re.compile(r"[\w.+-]{0,40}")


@register("io.kestra.plugin.core.storage.Write")
class Write(RunnableTask, frozen=True, kw_only=True):
    """Write a text into a new file."""

    content: Annotated[str, DYNAMIC]
    """The content of the file."""
    extension: Annotated[str | None, DYNAMIC] = None
    """How its name ends."""

    def objections(self) -> Iterator[Objection]:
        yield from _extension_objections(self.extension)

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Store the text."""
        content = (await context.render(self.content) or "").encode()
        uri = await context.store(new_name(await context.render(self.extension)), content)
        return {"uri": uri}


def extension_problem(text: str) -> str | None:
    """Tell why a text cannot be how the name of a file ends, None when it can."""
    return None if _EXTENSION.fullmatch(text) else f"'{text}' is not the extension of a file; write one such as '.csv'."


def _extension_objections(text: str | None) -> Iterator[Objection]:
    written = constant(text)
    problem = extension_problem(written) if written is not None else None
    if problem is not None:
        yield Objection(("extension",), problem, refuses=False)


def new_name(extension: str | None) -> str:
    """Return a name that no other file has."""
    suffix = extension or ""
    problem = extension_problem(suffix)
    if problem is not None:
        raise TaskFailed(problem)
    return os.urandom(10).hex() + (suffix if not suffix or suffix.startswith(".") else f".{suffix}")


@register("io.kestra.plugin.core.storage.Concat", "io.kestra.core.tasks.storages.Concat")
class Concat(RunnableTask, frozen=True, kw_only=True):
    """Join files into one, with a separator after each."""

    files: Annotated[list[str] | str, DYNAMIC, NOT_EMPTY]
    """URIs, in order; or JSON text of a list of them."""
    separator: Annotated[str | None, DYNAMIC] = None
    """What stands between two files."""
    extension: Annotated[str, DYNAMIC] = ".tmp"
    """How the name of the result ends."""

    def objections(self) -> Iterator[Objection]:
        yield from list_objections(files=self.files)
        for uri in self.files if isinstance(self.files, list) else ():
            yield from uri_objections("files", uri)
        yield from _extension_objections(self.extension)

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Store the joined file."""
        separator = (await context.render(self.separator) or "").encode()
        target = context.working_dir / new_name(await context.render(self.extension))
        with target.open("wb") as file:
            for uri in await context.render(self.files, list[str]) or []:
                async with context.storage.open(context.tenant_id, uri) as chunks:
                    async for chunk in chunks:
                        file.write(chunk)
                file.write(separator)
        return {"uri": await context.store(target.name, target, final=True)}


@register("io.kestra.plugin.core.storage.Reverse", "io.kestra.core.tasks.storages.Reverse")
class Reverse(RunnableTask, frozen=True, kw_only=True):
    """Turn the order of a file's lines around."""

    from_: Annotated[str, DYNAMIC, NOT_EMPTY] = msgspec.field(name="from")
    separator: Annotated[str, DYNAMIC] = "\n"
    charset: Annotated[str, DYNAMIC] = "UTF-8"

    def objections(self) -> Iterator[Objection]:
        yield from uri_objections("from", self.from_)
        name = constant(self.charset)
        if name and not _is_charset(name):
            yield Objection(("charset",), f"The charset '{name}' is unknown.", refuses=False)

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Store the turned file."""
        uri = await context.render(self.from_)
        charset = await context.render(self.charset) or "UTF-8"
        wanted = await context.render(self.separator) or "\n"
        try:
            separator = wanted.encode(charset)
        except UnicodeEncodeError as error:
            raise TaskFailed(f"The separator '{wanted}' cannot be written in charset '{charset}'.") from error
        except (LookupError, ValueError) as error:
            raise TaskFailed(f"The charset '{charset}' is unknown.") from error
        source = await context.fetch(uri, read_only=True)
        target = context.working_dir / new_name(uris.extension(uris.path_of(uri)))
        await asyncio.to_thread(reverse, source, target, separator)
        return {"uri": await context.store(target.name, target, final=True)}


def _is_charset(name: str) -> bool:
    try:
        "".encode(name)
    except (LookupError, ValueError):
        return False
    return True


def reverse(source: Path, target: Path, separator: bytes) -> None:
    """Write the parts of a file into another one, last first; memory holds their places only."""
    places = array("Q")
    at = 0
    for part in pieces(source, separator):
        places.append(at)
        at += len(part) + len(separator)
    end = source.stat().st_size
    with source.open("rb") as file, target.open("wb") as out:
        for place in reversed(places):
            file.seek(place)
            part = file.read(end - place)
            out.write(part.removesuffix(separator) + separator)
            end = place


@register("io.kestra.plugin.core.storage.Size", "io.kestra.core.tasks.storages.Size")
class Size(RunnableTask, frozen=True, kw_only=True):
    """Return the size of a file."""

    uri: Annotated[str, DYNAMIC, NOT_EMPTY]

    def objections(self) -> Iterator[Objection]:
        yield from uri_objections("uri", self.uri)

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Ask storage."""
        uri = await context.render(self.uri)
        return {"size": (await context.storage.attributes(context.tenant_id, uri)).size}


@register("io.kestra.plugin.core.storage.Delete", "io.kestra.core.tasks.storages.Delete")
class Delete(RunnableTask, frozen=True, kw_only=True):
    """Delete a file."""

    uri: Annotated[str, DYNAMIC, NOT_EMPTY]
    error_on_missing: Annotated[bool | str, DYNAMIC] = False

    def objections(self) -> Iterator[Objection]:
        yield from uri_objections("uri", self.uri)

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Delete it and tell whether it was there."""
        uri = await context.render(self.uri)
        deleted = await context.storage.delete(context.tenant_id, uri)
        if not deleted and await context.render(self.error_on_missing, bool):
            raise NotFound(f"Unable to find file '{uri}' with `errorOnMissing` enabled.")
        return {"uri": uri, "deleted": deleted}
