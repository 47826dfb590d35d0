"""
A small HTTP server that answers what the corpora's stubs describe, in a thread of its own.

Public addresses that flows name are turned into paths of this server, so that a case never leaves the machine.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Mapping
from email import policy
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from tests.conformance.corpus import Folder
from tests.conformance.values import build

CSV_SIZE: Final = 512_789
"""The size of the public file that two cases name."""
_PUBLIC: Final = re.compile(r"https?://(?!localhost|127\.)([\w-]+(?:\.[\w-]+)+)(/[^\s\"'{}]*)?")


class Stub:
    """The server: `url` is its address, `bodies` what it answers for public addresses."""

    def __init__(self, folder: Folder) -> None:
        self.stubs: dict[str, dict[str, Any]] = {}
        for file in ("expressions.yaml", "tasks.yaml"):
            found = (folder.data(file) or {}).get("http_stubs") or {}
            self.stubs |= {key: build(stub, folder) for key, stub in found.items()}
        self.bodies: dict[str, str] = {}
        self._server: ThreadingHTTPServer | None = None
        self.url = ""

    def __enter__(self) -> Stub:
        handler = type("Handler", (_Handler,), {"stub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def local(self, value: Any) -> Any:
        """Return data with every public address in it turned into one of this server."""
        match value:
            case dict():
                return {key: self.local(inner) for key, inner in value.items()}
            case list():
                return [self.local(inner) for inner in value]
            case str():
                return _PUBLIC.sub(self._local, value)
            case _:
                return value

    def _local(self, found: re.Match[str]) -> str:
        path = found[2] or "/"
        address = f"{self.url}/_public/{found[1]}{path}"
        self.bodies[address] = self.bodies[found[0]] = public_body(path)
        return address


def public_body(path: str) -> str:
    """Return the content of a public address."""
    if path.endswith(".csv"):
        return ("id,name,value\n" * (CSV_SIZE // 14 + 1))[:CSV_SIZE]
    return "print('hello')\n" if path.endswith(".py") else "<html>hello</html>"


class _Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    stub: Stub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_GET  # noqa: N815 (names that the base class calls)

    def _answer(self) -> None:
        body = self._body()
        path = urlsplit(self.path).path
        if path.startswith("/_public/"):
            self._public(path)
            return
        stub = self._find(path)
        if stub is None:
            self._send(404, b"", {})
            return
        missing = self._missing(stub, body)
        if missing:
            self._send(400, missing.encode(), {})
            return
        status, text = _made(self, stub, body)
        headers = dict(stub.get("headers") or {})
        if "sse" in stub:
            events = (
                "".join(f"data: {line}\n" for line in str(event).rstrip("\n").split("\n")) + "\n"
                for event in stub["sse"]
            )
            text = "".join(events)
            headers.setdefault("Content-Type", "text/event-stream")
        if status == 401:
            headers |= _challenge(path)
        self._send(status, text if isinstance(text, bytes) else text.encode(), headers, stub.get("transfer"))

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while (size := int(self.rfile.readline().split(b";")[0], 16)) > 0:
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _find(self, path: str) -> dict[str, Any] | None:
        for key, stub in self.stub.stubs.items():
            method, _, rest = key.partition(" ")
            name = rest.split(" ")[0]
            answers = method == self.command or (self.command == "HEAD" and method == "GET")
            if name == path and answers:
                return stub
        return None

    def _missing(self, stub: Mapping[str, Any], body: bytes) -> str:
        for name, wanted in (stub.get("expect_headers") or {}).items():
            values = self.headers.get_all(name) or []
            have = [part.strip() for value in values for part in value.split(",")] + values
            for value in wanted if isinstance(wanted, list) else [wanted]:
                if value not in have:
                    return f"header {name} is {values}"
        for part in stub.get("expect_body_contains") or []:
            if part not in body.decode():
                return f"the body lacks {part!r}"
        return ""

    def _public(self, path: str) -> None:
        if "basic-auth" in path and not self.headers.get("Authorization"):
            self._send(401, b"", {"WWW-Authenticate": 'Basic realm="public"'})
            return
        self._send(200, public_body(path).encode(), {"Content-Type": "text/plain"})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str], transfer: str | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.send_header("Connection", "close")
        self.close_connection = True
        if transfer == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for place in range(0, len(body), 8192):
                part = body[place : place + 8192]
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
            return
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status != 204:
            self.wfile.write(body)


def _made(handler: _Handler, stub: Mapping[str, Any], body: bytes) -> tuple[int, str | bytes]:
    """Return status and body of a stub; what stands in `<…>` says what to answer."""
    text = stub.get("body", "")
    if isinstance(text, list):
        text = json.dumps(text)
    path = urlsplit(handler.path).path
    if path.startswith("/auth/"):
        return _authorized(handler, path)
    if not (isinstance(text, str) and text.startswith("<")):
        return int(stub.get("status", 200)), str(text)
    status = int(stub.get("status", 200))
    if "raw query string" in text:
        return status, urlsplit(handler.path).query
    if "JSON body" in text:
        return status, body
    if "Content-Type of the request" in text:
        return status, handler.headers.get("Content-Type") or ""
    if "content of the part file" in text:
        return status, _multipart(handler, body)
    field = parse_qs(body.decode()).get("hello", [""])[0]
    return status, f"{field} > {handler.headers.get('test') or ''}"


def _multipart(handler: _Handler, body: bytes) -> bytes:
    head = f"Content-Type: {handler.headers['Content-Type']}\r\n\r\n".encode()
    parts: dict[str, bytes] = {}
    for part in BytesParser(policy=policy.HTTP).parsebytes(head + body).iter_parts():
        name = part.get_param("name", header="content-disposition")
        payload: Any = part.get_payload(decode=True)
        parts[str(name)] = payload
    return parts.get("hello", b"") + b" > " + parts.get("file", b"")


def _authorized(handler: _Handler, path: str) -> tuple[int, str]:
    given = handler.headers.get("Authorization") or ""
    if path == "/auth/bearer":
        return 200, json.dumps({"hello": given.removeprefix("Bearer ")}, separators=(",", ":"))
    if path == "/auth/basic":
        user, _, password = base64.b64decode(given.removeprefix("Basic ") or "").decode().partition(":")
        return (200, json.dumps({"hello": user}, separators=(",", ":"))) if password == "p4ss" else (401, "")
    return (200, '{"hello":"John"}') if _digest_holds(handler, path, given) else (401, "")


def _digest_holds(handler: _Handler, path: str, given: str) -> bool:
    if not given.startswith("Digest "):
        return False
    fields = {name: quoted or bare for name, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', given)}
    made = hashlib.md5 if path.endswith("md5") else hashlib.sha256

    def digest(text: str) -> str:
        return made(text.encode()).hexdigest()

    first = digest("John:kestra:p4ss")
    second = digest(f"{handler.command}:{fields.get('uri')}")
    middle = ":".join(fields.get(name, "") for name in ("nonce", "nc", "cnonce", "qop"))
    return fields.get("response") == digest(f"{first}:{middle}:{second}")


def _challenge(path: str) -> dict[str, str]:
    if "digest" not in path:
        return {"WWW-Authenticate": 'Basic realm="kestra"'}
    kind, algorithm = ("md5", "MD5") if path.endswith("md5") else ("sha256", "SHA-256")
    return {
        "WWW-Authenticate": f'Digest realm="kestra", qop="auth", nonce="kestra-{kind}-nonce", '
        f'opaque="kestra-opaque", algorithm={algorithm}'
    }
