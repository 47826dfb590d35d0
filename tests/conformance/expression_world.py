"""
The world that expression cases run in: a host in memory, filled by the case's `setup`, and the corpus' own notation.

`${…}` in any text of a case is replaced here, and `$` keys become typed values.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import yaml

from tests.conformance.corpus import Folder
from tests.conformance.interpolation import TRUNCATE
from tests.conformance.result import LeftOut
from tests.conformance.steps_store import file_content
from tiercel.errors import ExpressionError
from tiercel.expression import Absent, Expired, FileAddress, encryption
from tiercel.expression.dates import reading
from tiercel.expression.dates.moment import written
from tiercel.expression.dates.writing import locale_of
from tiercel.expression.host import HttpRequest, HttpResponse, SubflowCall, SubflowResult
from tiercel.expression.rendering import Engine, Renderer
from tiercel.expression.values import Byte, Char, Float32, Instant, JavaDate, Long, Short
from tiercel.model import ids
from tiercel.model.duration import parse_duration

HTTP_BASE = "http://stub.invalid"
SUBFLOW_DEPTH_MAX = 5
"""Kestra's bound on flows that call one another."""
_PLACEHOLDER = re.compile(r"\$\{([^{}]+)\}")
_NOW = re.compile(r"now(?P<sign>[+-])?(?P<shift>P[0-9A-Z.]+)?(?::(?P<format>[^|]+?))?(?P<steps>(?:\|\w+)*)")


class World:
    """Everything a case can reach, in memory."""

    def __init__(self, corpus: Path, document: Mapping[str, Any], case: Mapping[str, Any], dialect: str) -> None:
        self.corpus = corpus
        self.stubs: Mapping[str, Any] = document.get("http_stubs") or {}
        self.config: Mapping[str, Any] = case.get("config") or {}
        self.engine = Engine(dialect="2.x" if dialect == "2.x" else "1.x")
        self.names: dict[str, str] = {}
        self.files: dict[str, bytes] = {}
        self.namespace_files: dict[tuple[str, str], list[bytes | None]] = {}
        self.secrets: dict[tuple[str, str], str] = {}
        self.kv_values: dict[tuple[str, str], tuple[Any, datetime | None]] = {}
        self.logs: list[Mapping[str, Any]] | None = None
        self.flows: dict[tuple[str, str], Mapping[str, Any]] = {}
        self.random = Random(7)
        self.zone: tzinfo = ZoneInfo(document.get("system_zone") or "UTC")
        self._now = datetime.now(UTC)
        self._depth = 0

    # The host port.

    def now(self) -> datetime:
        return self._now

    def secret(self, namespace: str, key: str) -> str:
        if (namespace, key) not in self.secrets:
            raise Absent(key)
        return self.secrets[namespace, key]

    def kv(self, namespace: str, key: str, *, inherited: bool) -> Any:
        place = namespace
        while True:
            if (place, key) in self.kv_values:
                value, expires = self.kv_values[place, key]
                if expires is not None and expires <= self._now:
                    raise Expired("The requested value has expired")
                return value
            if not inherited or "." not in place:
                raise Absent
            place = place.rpartition(".")[0]

    def read_file(self, file: FileAddress) -> bytes:
        if file.scheme == "file":
            return self._local(file.path)
        if file.scheme == "kestra":
            return self._stored(file.path)
        revisions = self.namespace_files.get((file.namespace, file.path), [])
        index = (file.revision or len(revisions)) - 1
        # A deleted revision stands as None.
        content = revisions[index] if 0 <= index < len(revisions) else None
        if content is None:
            raise FileNotFoundError(file.path)
        return content

    def _stored(self, path: str) -> bytes:
        if path in self.files:
            return self.files[path]
        namespace, mark, name = path[1:].partition("/_files/")
        if not mark:
            raise FileNotFoundError(path)
        name, _, revision = name.partition(".v")
        address = FileAddress(
            scheme="nsfile",
            path=name,
            namespace=namespace.replace("/", "."),
            revision=int(revision) if revision else None,
        )
        return self.read_file(address)

    def _local(self, path: str) -> bytes:
        settings = self.config.get("local_files") or {}
        allowed = [Path(folder) for folder in settings.get("allowed_paths") or ()]
        if settings.get("enable_file_functions") is False:
            raise PermissionError("The file:// protocol has been disabled.")
        if not any(Path(path).is_relative_to(folder) for folder in allowed):
            raise PermissionError(f"The path {path} is not authorized.")
        return self.files["file://" + path]

    def file_size(self, file: FileAddress) -> int:
        return len(self.read_file(file))

    def file_exists(self, file: FileAddress) -> bool:
        try:
            self.read_file(file)
        except FileNotFoundError:
            return False
        return True

    def file_uri(self, file: FileAddress) -> str:
        revisions = self.namespace_files.get((file.namespace, file.path))
        if not revisions:
            raise FileNotFoundError(file.path)
        revision = file.revision or len(revisions)
        suffix = f".v{revision}" if revision > 1 else ""
        return f"kestra:///{file.namespace.replace('.', '/')}/_files/{file.path}{suffix}"

    def error_logs(self) -> list[Mapping[str, Any]]:
        return [log for log in self.logs or () if log.get("level") == "ERROR"]

    def http(self, request: HttpRequest) -> HttpResponse:
        path = "/" + request.uri.removeprefix(HTTP_BASE).lstrip("/").partition("?")[0]
        stub = self.stubs.get(f"{request.method} {path}")
        if stub is None:
            return HttpResponse(status=404, reason="Not Found", content_type="", body=b"")
        sent = {name.lower(): list(values) for name, values in request.headers.items()}
        for name, expected in (stub.get("expect_headers") or {}).items():
            wanted = expected if isinstance(expected, list) else [expected]
            if sent.get(name.lower()) != wanted:
                raise ConnectionError(f"header {name} is {sent.get(name.lower())}, expected {wanted}")
        for text in stub.get("expect_body_contains") or ():
            if text.strip() not in (request.body or b"").decode():
                raise ConnectionError(f"the body does not contain {text!r}: {request.body!r}")
        status = int(stub.get("status", 200))
        return HttpResponse(
            status=status,
            reason="Not Found" if status == 404 else "",
            content_type=(stub.get("headers") or {}).get("Content-Type", ""),
            body=str(stub.get("body", "")).encode(),
        )

    def subflow(self, call: SubflowCall) -> SubflowResult:
        """Resolve inputs and outputs of a deployed flow; its tasks only tell whether it fails."""
        flow = self.flows.get((call.namespace, call.flow_id))
        if flow is None:
            raise Absent(call.flow_id)
        if self._depth >= SUBFLOW_DEPTH_MAX:
            raise ValueError(f"the maximum nesting depth of {SUBFLOW_DEPTH_MAX} is exceeded.")
        self._depth += 1
        try:
            return self._run(flow, call)
        except ExpressionError as error:
            raise ValueError(str(error)) from error
        finally:
            self._depth -= 1

    def _run(self, flow: Mapping[str, Any], call: SubflowCall) -> SubflowResult:
        renderer = Renderer(self.engine, self)
        context: dict[str, Any] = {"flow": {"id": flow["id"], "namespace": flow["namespace"]}}
        inputs = {item["id"]: renderer.render_value(item.get("defaults"), context) for item in flow.get("inputs") or ()}
        context["inputs"] = {**inputs, **call.inputs}
        fails = any(task["type"].endswith("execution.Fail") for task in flow["tasks"])
        outputs = {item["id"]: renderer.render_value(item["value"], context) for item in flow.get("outputs") or ()}
        return SubflowResult(
            id=ids.new_id(), state="FAILED" if fails else "SUCCESS", outputs=outputs, labels=dict(call.labels)
        )

    def free_port(self) -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    # The setup of a case.

    def set_up(self, step: Mapping[str, Any]) -> None:
        for verb, raw in step.items():
            if verb == "deploy":
                for name in raw:
                    flow = yaml.safe_load(Folder(self.corpus).text(name))
                    self.flows[flow["namespace"], flow["id"]] = flow
                continue
            act = self._setups().get(verb)
            if act is None:
                raise LeftOut(f"the runner does not know the setup '{verb}' of an expression")
            act(self.filled(raw))

    def _setups(self) -> Mapping[str, Callable[[Any], None]]:
        return {
            "put_file": self._put_file,
            "put_namespace_file": self._put_namespace_file,
            "delete_namespace_file": self._delete_namespace_file,
            "local_file": self._local_file,
            "random_namespace": self._random_namespace,
            "set_secret": self._set_secret,
            "set_kv": self._set_kv,
            "save_log": self._save_log,
            "encrypt": self._encrypt,
            "render": self._render,
            "run_context": self._run_context,
        }

    def _put_file(self, given: Mapping[str, Any]) -> None:
        if given.get("content") is None and "ion_rows" in given:
            content = "\n".join(
                "{" + ",".join(f"{k}:{json.dumps(v)}" for k, v in row.items()) + "}" for row in given["ion_rows"]
            ).encode()
        else:
            content = file_content(given, self.corpus)
        self.files[given["path"]] = content
        self.names[f"{given.get('as', 'file')}.uri"] = f"kestra://{given['path']}"

    def _put_namespace_file(self, given: Mapping[str, Any]) -> None:
        place = (given["namespace"], given["path"].lstrip("/"))
        self.namespace_files.setdefault(place, []).append(str(given.get("content") or "").encode())

    def _delete_namespace_file(self, given: Mapping[str, Any]) -> None:
        self.namespace_files[given["namespace"], given["path"].lstrip("/")][-1] = None

    def _local_file(self, given: Mapping[str, Any]) -> None:
        self.files["file://" + given["path"]] = str(given.get("content") or "").encode()
        self.names[f"{given.get('as', 'file')}.uri"] = f"file://{given['path']}"

    def _random_namespace(self, given: Mapping[str, Any]) -> None:
        self.names[given["as"]] = f"{given.get('prefix', '')}n{ids.new_id().lower()}"

    def _set_secret(self, given: Mapping[str, Any]) -> None:
        self.secrets[given["namespace"], given["key"]] = given["value"]

    def _set_kv(self, given: Mapping[str, Any]) -> None:
        expires = given.get("expiration")
        at = reading.iso(expires) if isinstance(expires, str) else expires
        if given.get("ttl"):
            at = self._now + parse_duration(given["ttl"])
        self.kv_values[given["namespace"], given["key"]] = (given["value"], at)

    def _save_log(self, given: Mapping[str, Any]) -> None:
        self.logs = [*(self.logs or ()), given]

    def _encrypt(self, given: Mapping[str, Any]) -> None:
        self.names[given["as"]] = encryption.encrypt(given["key"], given["text"], bytes(range(12)))

    def _render(self, given: Mapping[str, Any]) -> None:
        renderer = Renderer(self.engine, self)
        text = given.get("template", given.get("expression", ""))
        self.names[given["as"]] = renderer.render(text, typed(given.get("variables") or {}))

    def _run_context(self, given: Any) -> None:
        """Nothing to do: the variables are the context."""

    # The notation.

    def filled(self, value: Any) -> Any:
        """Replace `${…}` in all texts, and `$` keys by typed values."""
        return typed(self._with_files(self._filled(value)))

    def _with_files(self, value: Any) -> Any:
        """Put the text of a file of the corpus, or of several pieces, where a case names them."""
        match value:
            case {"$file": str(path)}:
                return str(self.corpus / path)
            case {"$concat_text": list(parts)}:
                return "".join(self._piece(part) for part in parts)
            case dict():
                return {key: self._with_files(item) for key, item in value.items()}
            case list():
                return [self._with_files(item) for item in value]
            case _:
                return value

    def _piece(self, part: Any) -> str:
        if isinstance(part, dict) and "$file" in part:
            return Folder(self.corpus).text(part["$file"])
        return str(typed(self._with_files(part)))

    def _filled(self, value: Any) -> Any:
        if isinstance(value, str):
            return _PLACEHOLDER.sub(self._placeholder, value)
        if isinstance(value, dict):
            return {self._filled(key): self._filled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item) for item in value]
        return value

    def _placeholder(self, found: re.Match[str]) -> str:
        name = found.group(1)
        if name == "http":
            return HTTP_BASE
        if name.startswith("id:"):
            return self.names.setdefault(name, ids.new_id())
        if name in self.names:
            return self.names[name]
        match = _NOW.fullmatch(name)
        return self._moment(match) if match else found.group()

    def _moment(self, match: re.Match[str]) -> str:
        at = self._now
        if match["shift"]:
            shift = parse_duration(match["shift"])
            at = at - shift if match["sign"] == "-" else at + shift
        steps = match["steps"].split("|")
        for name in steps:
            at = TRUNCATE[name](at) if name in TRUNCATE else at
        if match["format"]:
            text, _, zone = match["format"].partition("@")
            return written(at, text, ZoneInfo(zone) if zone else self.zone, locale_of("en_US"))
        text = at.isoformat().replace("+00:00", "Z")
        return quote(text, safe="") if "url" in steps else text


def typed(value: Any) -> Any:
    """Turn the corpus' `$` maps into values."""
    if isinstance(value, list):
        return [typed(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and next(iter(value)).startswith("$"):
        [(kind, raw)] = value.items()
        if kind in _TYPES:
            return _TYPES[kind](raw)
    return {key: typed(item) for key, item in value.items()}


def _zoned(text: str) -> datetime:
    found = reading.iso(text)
    assert isinstance(found, datetime)
    return found


def _instant(text: str) -> Instant:
    at = _zoned(text).astimezone(UTC)
    return Instant(at.year, at.month, at.day, at.hour, at.minute, at.second, at.microsecond, UTC)


def _java_date(text: str) -> JavaDate:
    at = _zoned(text).astimezone(UTC)
    return JavaDate(at.year, at.month, at.day, at.hour, at.minute, at.second, at.microsecond // 1000 * 1000, UTC)


def _duration(text: str) -> timedelta:
    return parse_duration(text)


_TYPES: Mapping[str, Any] = {
    "$float32": Float32,
    "$long": Long,
    "$short": Short,
    "$byte": Byte,
    "$char": Char,
    "$zoneddatetime": _zoned,
    "$offsetdatetime": _zoned,
    "$localdatetime": _zoned,
    "$instant": _instant,
    "$date": _java_date,
    "$localdate": date.fromisoformat,
    "$localtime": time.fromisoformat,
    "$duration": _duration,
    "$uri": str,
    "$set": lambda items: [typed(item) for item in items],
    "$array": lambda items: [typed(item) for item in items],
    "$repeat": lambda pair: pair[0] * pair[1],
    "$concat": lambda parts: "".join(str(typed(part)) for part in parts),
}
