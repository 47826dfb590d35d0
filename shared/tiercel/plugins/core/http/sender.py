"""Sends the request that a task describes, and tells failures from answers."""

from __future__ import annotations

import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from functools import lru_cache
from typing import Annotated, Any, Final
from urllib.parse import quote

import httpx

from tiercel.errors import TaskFailed
from tiercel.expression.printing import text_of
from tiercel.model.property import DYNAMIC, NOT_EMPTY, Written, constant
from tiercel.model.task import Objection
from tiercel.plugins.base import RunContext, RunnableTask
from tiercel.plugins.core.http.options import DIRECT, PORTS, PROXY_PORT, Auth, AuthType, HttpOptions, Proxy, Ssl
from tiercel.storage import uris

CONNECT_TIMEOUT: Final = timedelta(seconds=10)
"""Where the task says nothing: a host that has not answered by then is not there."""
READ_TIMEOUT: Final = timedelta(minutes=5)
"""Silence between two pieces of an answer where the task says nothing, as in Kestra."""
REDIRECTS_MAX: Final = 20
"""As browsers follow them: a longer chain goes in circles."""
CONTENT_LENGTH_MAX: Final = 10 << 20
"""Bytes of an answer that become an output; larger ones are for Download."""
FAILED_SHOWN_MAX: Final = 2000
"""Characters of a failed answer's body that the message shows."""
_MULTIPART: Final = "multipart/form-data"
_METHOD: Final = re.compile(r"[A-Z][A-Z-]*")
_ADDRESS: Final = re.compile(r"https?://[^/]", re.IGNORECASE)


class HttpFailed(TaskFailed):
    """The server answered, and its answer is a failure; or there was no answer, and `status` is None."""

    def __init__(self, message: str, status: int | None = None, outputs: dict[str, Any] | None = None) -> None:
        super().__init__(message, outputs)
        self.status = status


def method_problem(text: str) -> str | None:
    """Tell why a text is no method of HTTP, None when it may be one."""
    if not text or _METHOD.fullmatch(text.upper()):
        return None
    return f"'{text}' is not a method of HTTP; write one such as GET or POST."


def uri_problem(text: str) -> str | None:
    """Tell why a text is no address to send a request to, None when it may be one."""
    if _ADDRESS.match(text.strip()):
        return None
    return f"'{text}' is not an address of HTTP; write one that begins with 'http://' or 'https://'."


class HttpTask(RunnableTask, frozen=True, kw_only=True):
    """A task that sends a request."""

    uri: Annotated[str, DYNAMIC, NOT_EMPTY]
    """The address."""
    method: Annotated[str, DYNAMIC, Written(method_problem)] = "GET"
    """The method."""
    params: Annotated[dict[str, Any] | str | None, DYNAMIC] = None
    """Parameters that are added to the address."""
    body: Annotated[Any, DYNAMIC] = None
    """What is sent."""
    form_data: Annotated[dict[str, Any] | str | None, DYNAMIC] = None
    """Fields of a form: texts, files of internal storage by their URI, or `name` and `content`."""
    content_type: Annotated[str | None, DYNAMIC] = None
    """The kind of the body."""
    headers: Annotated[dict[str, Any] | str | None, DYNAMIC] = None
    """Headers by name."""
    options: HttpOptions | None = None
    """Everything about sending but the request itself."""
    ssl_options: Ssl | None = None
    allow_failed: Annotated[bool | str, DYNAMIC] = False
    """True when an answer with an error is an answer."""

    def objections(self) -> Iterator[Objection]:
        yield from request_objections(self.uri, self.options)

    @property
    def given_options(self) -> HttpOptions:
        """The options, default ones when there are none."""
        return self.options or HttpOptions()

    async def allows_failed(self, context: RunContext) -> bool:
        """Tell whether an answer with an error is an answer."""
        return bool(
            await context.render(self.allow_failed, bool) or await context.render(self.given_options.allow_failed, bool)
        )


def request_objections(uri: str, options: HttpOptions | None) -> Iterator[Objection]:
    """Yield what is wrong with the constants of a request: its address, and the port of a proxy."""
    text = constant(uri)
    problem = uri_problem(text) if text else None
    if problem is not None:
        yield Objection(("uri",), problem)
    if options is not None:
        for objection in options.objections():
            yield objection.below("options")


@lru_cache(maxsize=2)
def _trust(insecure: bool) -> ssl.SSLContext:
    # Reading the certificates of the system takes 20 ms: once per process.
    found = ssl.create_default_context()
    if insecure:
        found.check_hostname = False
        found.verify_mode = ssl.CERT_NONE
    return found


@contextlib.asynccontextmanager
async def sent(task: HttpTask, context: RunContext) -> AsyncIterator[httpx.Response]:
    """Send the task's request; yield the answer, whose body has not been read yet."""
    options = task.given_options
    insecure = await context.render((task.ssl_options or options.ssl or Ssl()).insecure_trust_all_certificates, bool)
    follow = await context.render(options.follow_redirects, bool)
    request = await _request(task, context)
    try:
        async with contextlib.AsyncExitStack() as stack:
            client = await stack.enter_async_context(
                httpx.AsyncClient(
                    verify=_trust(bool(insecure)),
                    timeout=await _timeout(options, context),
                    follow_redirects=follow is not False,
                    max_redirects=REDIRECTS_MAX,
                    auth=await _auth(options, context),
                    proxy=await _proxy(options, context),
                    trust_env=False,
                )
            )
            files = request.pop("parts", None)
            if files is not None:
                request["files"] = [(name, _part(part, stack)) for name, part in files]
            response = await stack.enter_async_context(client.stream(**request))
            yield response
    except httpx.InvalidURL as error:
        raise TaskFailed(f"'{request['url']}' is not a URL: {error}.") from error
    except httpx.HTTPError as error:
        raise HttpFailed(f"Request to '{request['url']}' has failed: {_reason(error)}.") from error


def _reason(error: httpx.HTTPError) -> str:
    """Say what went wrong; the library is silent about times that are over."""
    match error:
        case httpx.ConnectTimeout():
            return "no connection within 'options.timeout.connectTimeout'"
        case httpx.ReadTimeout():
            return "no answer within 'options.timeout.readIdleTimeout'"
        case _:
            return str(error).rstrip(".") or type(error).__name__


async def _request(task: HttpTask, context: RunContext) -> dict[str, Any]:
    address = (await context.render(task.uri) or "").strip()
    if (problem := uri_problem(address)) is not None:
        raise TaskFailed(problem)
    url = quote(address, safe="%/:=&?~#+!$,;'@()*[]")
    given = await context.render(task.headers, dict[str, Any]) or {}
    headers = [
        (name, text_of(each))
        for name, value in given.items()
        for each in (value if isinstance(value, list) else [value])
        if each is not None
    ]
    method = (await context.render(task.method) or "GET").upper()
    if (problem := method_problem(method)) is not None:
        raise TaskFailed(problem)
    request: dict[str, Any] = {"method": method, "url": url}
    params = await context.render(task.params, dict[str, Any])
    if params:
        request["params"] = {
            name: [text_of(each) for each in value] if isinstance(value, list) else text_of(value)
            for name, value in params.items()
        }
    content_type = await context.render(task.content_type)
    form = await context.render(task.form_data, dict[str, Any])
    if form is not None:
        if content_type is not None and content_type.startswith(_MULTIPART):
            request["parts"] = [(name, await _form_part(context, value)) for name, value in form.items()]
            content_type = None
        else:
            request["data"] = {name: text_of(value) for name, value in form.items()}
    elif task.body is not None:
        request["content"] = text_of(await context.render(task.body, Any)).encode()
        content_type = content_type or "application/json"
    if content_type is not None and not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", content_type))
    # As bytes: a header may hold more than ASCII, and one that may not be sent is refused by its protocol.
    return {
        **request,
        "headers": [(name.encode("utf-8", "replace"), text.encode("utf-8", "replace")) for name, text in headers],
    }


async def _form_part(context: RunContext, value: Any) -> Any:
    """Return a part of a form: a text, or (name, text or path) of a file."""
    if isinstance(value, dict) and "content" in value:
        content = value["content"]
        name = str(value.get("name", "file"))
        return (name, await context.fetch(content, read_only=True) if uris.is_uri(content) else text_of(content))
    if uris.is_uri(value):
        return (value.rpartition("/")[2], await context.fetch(value, read_only=True))
    return text_of(value)


def _part(part: Any, stack: contextlib.AsyncExitStack) -> Any:
    if not isinstance(part, tuple):
        return (None, part)
    name, content = part
    return (name, content if isinstance(content, str) else stack.enter_context(content.open("rb")))


async def _timeout(options: HttpOptions, context: RunContext) -> httpx.Timeout:
    nested = options.timeout
    connect = (nested.connect_timeout if nested else None) or options.connect_timeout or CONNECT_TIMEOUT
    read = (nested.read_idle_timeout if nested else None) or options.read_timeout or options.read_idle_timeout
    connect_length: timedelta = await context.render(connect, timedelta)
    read_length: timedelta = await context.render(read or READ_TIMEOUT, timedelta)
    return httpx.Timeout(read_length.total_seconds(), connect=connect_length.total_seconds())


async def _auth(options: HttpOptions, context: RunContext) -> httpx.Auth | None:
    auth = options.auth
    if auth is None:
        if options.basic_auth_user is None:
            return None
        auth = Auth(type=AuthType.BASIC, username=options.basic_auth_user, password=options.basic_auth_password)
    kind: AuthType = await context.render(auth.type, AuthType)
    if kind is AuthType.BEARER:
        return _Bearer(await context.render(auth.token) or "")
    username, password = await context.render(auth.username) or "", await context.render(auth.password) or ""
    return httpx.BasicAuth(username, password) if kind is AuthType.BASIC else httpx.DigestAuth(username, password)


class _Bearer(httpx.Auth):
    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Any:
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


async def _proxy(options: HttpOptions, context: RunContext) -> str | httpx.Proxy | None:
    proxy = options.proxy or Proxy(
        type=options.proxy_type or DIRECT,
        address=options.proxy_address,
        port=options.proxy_port,
        username=options.proxy_username,
        password=options.proxy_password,
    )
    kind = (await context.render(proxy.type) or DIRECT).upper()
    if kind == DIRECT or proxy.address is None:
        return None
    scheme = "socks5" if kind.startswith("SOCKS") else "http"
    port: int = await context.render(proxy.port, int) or PROXY_PORT
    if port not in PORTS:
        raise TaskFailed(f"The port of a proxy is {PORTS.start} to {PORTS.stop - 1}, but is {port}.")
    url = f"{scheme}://{await context.render(proxy.address)}:{port}"
    username = await context.render(proxy.username)
    return httpx.Proxy(url, auth=(username, await context.render(proxy.password) or "") if username else None)


async def check(task: HttpTask, context: RunContext, response: httpx.Response) -> None:
    """Raise HttpFailed unless the answer is one that the task takes."""
    status = response.status_code
    codes: list[int] | None = await context.render(task.given_options.allowed_response_codes, list[int])
    if codes:
        if status in codes:
            return
    elif status < 400 or await task.allows_failed(context):
        return
    body = ""
    async for chunk in response.aiter_bytes():
        body += chunk.decode("utf-8", "replace")
        if len(body) > FAILED_SHOWN_MAX:
            body = body[:FAILED_SHOWN_MAX] + "…"
            break
    said = f" and body '{body}'" if body else ""
    raise HttpFailed(
        f"Failed http request with response code '{status}' ({response.reason_phrase}){said}, from '{response.url}'.",
        status,
    )


def header_lists(response: httpx.Response) -> dict[str, list[str]]:
    """Return the headers of an answer: name to its values."""
    headers: dict[str, list[str]] = {}
    for name, value in response.headers.multi_items():
        headers.setdefault(name, []).append(value)
    return headers
