"""Download: sends a request and keeps the answer's body as a file."""

from __future__ import annotations

import os
import re
from email.message import Message
from pathlib import PurePosixPath
from typing import Annotated, Any, Final
from urllib.parse import quote_plus, unquote

import httpx

from tiercel.model.property import DYNAMIC
from tiercel.plugins.base import RunContext
from tiercel.plugins.core.http.sender import HttpFailed, HttpTask, check, header_lists, sent
from tiercel.plugins.registry import register

NAME_SIZE_MAX: Final = 200
"""Characters of a URL's end that become the file's name: file systems allow 255 bytes."""
_EXTENSION: Final = re.compile(r"\.[A-Za-z0-9]{1,16}")


@register("io.kestra.plugin.core.http.Download", "io.kestra.plugin.fs.http.Download")
class Download(HttpTask, frozen=True, kw_only=True):
    """Send a request and store the body of the answer."""

    fail_on_empty_response: Annotated[bool | str, DYNAMIC] = True
    save_as: Annotated[str | None, DYNAMIC] = None

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Stream the body into a file, and the file into storage."""
        path = context.working_dir / os.urandom(8).hex()
        length = 0
        async with sent(self, context) as response:
            await check(self, context, response)
            with path.open("wb") as file:
                async for chunk in response.aiter_bytes():
                    length += len(chunk)
                    file.write(chunk)
        context.counter("response.length", length)
        if length == 0:
            fails = await context.render(self.fail_on_empty_response, bool) is not False
            if fails and not await self.allows_failed(context):
                raise HttpFailed("No response from server", response.status_code)
            context.log("WARN", "The answer is empty.")
        name = await context.render(self.save_as) or _name(response)
        return {
            "uri": await context.store(name, path, apart=True, final=True),
            "code": response.status_code,
            "length": length,
            "headers": header_lists(response),
        }


def _name(response: httpx.Response) -> str:
    """Return the name that the server gives the file, or one with the extension that the address has."""
    message = Message()
    message["Content-Disposition"] = response.headers.get("content-disposition", "")
    given = message.get_filename()
    if given:
        last = given.replace("\\", "/").rpartition("/")[2]
        if last not in ("", ".", ".."):
            return quote_plus(last[-NAME_SIZE_MAX:])
    suffix = PurePosixPath(unquote(response.url.path)).suffix
    return os.urandom(10).hex() + (suffix if _EXTENSION.fullmatch(suffix) else "")
