"""Functions that ask other systems: secrets, key-value pairs, logs, HTTP services, other flows."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from tiercel.expression import json_text, yaml_text
from tiercel.expression.host import Absent, HttpRequest, HttpResponse, SubflowCall
from tiercel.expression.printing import java_text, json_of
from tiercel.expression.runtime import Call
from tiercel.expression.signature import Args, Function
from tiercel.expression.values import is_map, is_sequence, whole
from tiercel.model.duration import parse_duration
from tiercel.model.mask import STARS
from tiercel.model.system import CORRELATION_ID, FROM, is_system_label

# A caller waits for the flow; Kestra has the same bound.
SUBFLOW_TIMEOUT_MAX_S: Final = 300.0
SUBFLOW_TIMEOUT_S: Final = 30.0
"""Where the call names no time."""
_JSON = "application/json"


def _namespace(args: Args, call: Call) -> str:
    given = args.get("namespace")
    if given is not None:
        return java_text(given)
    namespace = call.mapping("flow").get("namespace")
    if namespace is None:
        raise call.fail(f"The '{call.name}' function needs a namespace: the variable 'flow' is missing.")
    return java_text(namespace)


def _secret(args: Args, call: Call) -> Any:
    key = java_text(call.required(args, "key"))
    subkey, full = args.get("subkey"), args.get("full")
    if subkey and full:
        raise call.fail("The 'secret' function cannot be called with both 'subkey' and 'full' arguments.")
    try:
        value = call.host.secret(_namespace(args, call), key)
    except Absent as error:
        raise call.fail(f"Secret not found: {key}. Cannot find secret for key '{key}'.") from error
    part = _part(value, key, java_text(subkey), call) if subkey else value
    if "{" in part:
        call.meter.secrets.add(part)
    result = {"value": part} if full else part
    return STARS if call.frame.renderer.mask_secrets else result


def _part(value: str, key: str, subkey: str, call: Call) -> str:
    try:
        found = json_text.loads(value)
    except ValueError as error:
        raise call.fail(
            f"Failed to read secret sub-key '{subkey}' from secret '{key}'. "
            "Ensure the secret contains valid JSON value."
        ) from error
    if not is_map(found) or subkey not in found:
        raise call.fail(f"Cannot find secret sub-key '{subkey}' in secret '{key}'.")
    part = found[subkey]
    return json_of(part) if is_map(part) or is_sequence(part) else java_text(part)


def _kv(args: Args, call: Call) -> Any:
    key, namespace = java_text(call.required(args, "key")), _namespace(args, call)
    strict = args.get("errorOnMissing")
    is_strict = call.is_second if strict is None else bool(strict)
    try:
        return call.host.kv(namespace, key, inherited=call.is_second and args.get("namespace") is None)
    except Absent as error:
        if not is_strict:
            return None
        message = str(error) or f"The key '{key}' does not exist in the namespace '{namespace}'."
        raise call.fail(message) from error


def _error_logs(args: Args, call: Call) -> Any:
    try:
        return call.host.error_logs()
    except Absent as error:
        raise call.fail("The 'errorLogs' function can only be used in the Worker.") from error


def _http(args: Args, call: Call) -> Any:
    uri = java_text(call.required(args, "uri"))
    query, options = args.get("query"), args.get("options")
    if is_map(query) and query:
        uri += ("&" if "?" in uri else "?") + urlencode({java_text(k): java_text(v) for k, v in query.items()})
    content_type = java_text(args.get("contentType") or _JSON)
    body = _body(args["body"], content_type, call) if args.get("body") is not None else None
    request = HttpRequest(
        method=java_text(args.get("method") or "GET").upper(),
        uri=uri,
        headers=_headers(args, content_type if body is not None else None),
        body=body,
        options=options if is_map(options) else {},
    )
    try:
        response = call.host.http(request)
    except OSError as error:
        raise call.fail(f"Failed to execute HTTP request: {error}") from error
    if response.status >= 400:
        reason = f"{response.status} : {response.reason}"
        raise call.fail(f"Failed to execute HTTP Request, server respond with status {reason}")
    return _answer(response, call)


def _headers(args: Args, content_type: str | None) -> dict[str, tuple[str, ...]]:
    headers: dict[str, tuple[str, ...]] = {}
    given = args.get("headers")
    for key, value in given.items() if is_map(given) else ():
        name = java_text(key)
        if name.lower() != "content-type":
            headers[name] = tuple(map(java_text, value)) if is_sequence(value) else (java_text(value),)
    headers["Accept"] = (java_text(args.get("accept") or _JSON),)
    if content_type is not None:
        headers["Content-Type"] = (content_type,)
    authorization = _authorization(args.get("options"))
    return headers | ({"Authorization": (authorization,)} if authorization else {})


def _authorization(options: Any) -> str | None:
    auth = options.get("auth") if is_map(options) else None
    if not is_map(auth):
        return None
    kind = java_text(auth.get("type", "")).upper()
    if kind == "BASIC":
        pair = f"{java_text(auth.get('username', ''))}:{java_text(auth.get('password', ''))}"
        return "Basic " + b64encode(pair.encode()).decode()
    return f"Bearer {java_text(auth.get('token', ''))}" if kind == "BEARER" else None


def _body(value: Any, content_type: str, call: Call) -> bytes:
    kind = content_type.partition(";")[0].strip().lower()
    if isinstance(value, bytes):
        return value
    if kind in ("application/yaml", "application/x-yaml", "text/yaml"):
        return (value if isinstance(value, str) else yaml_text.dumps(value, list_indent="")).encode()
    if kind == "application/x-www-form-urlencoded" and is_map(value):
        return urlencode({java_text(name): java_text(item) for name, item in value.items()}).encode()
    if kind.endswith("json") or kind.startswith("text/"):
        return (value if isinstance(value, str) else json_of(value)).encode()
    raise call.fail(f"Unsupported content type: {content_type}")


def _answer(response: HttpResponse, call: Call) -> Any:
    call.meter.check_size(len(response.body))
    kind = response.content_type.partition(";")[0].strip().lower()
    text = response.body.decode("utf-8", "replace")
    if not text:
        return None
    if kind.endswith("json"):
        return json_text.loads(text)
    return yaml_text.loads(text) if kind.endswith("yaml") else text


def _subflow(args: Args, call: Call) -> Any:
    if call.variable("taskrun") is not None or call.variable("trigger") is not None:
        raise call.fail(
            "The 'subflow' function can only be used where inputs are rendered, such as the values of an input; "
            "it is not supported inside task or trigger properties."
        )
    namespace, flow_id = args.get("namespace"), args.get("id")
    if namespace is None or flow_id is None:
        raise call.fail("The 'subflow' function expects the arguments 'namespace' and 'id'.")
    if not call.mapping("flow"):
        raise call.fail("The 'subflow' function can only be used in a flow context; the calling flow is unknown.")
    inputs, revision = args.get("inputs"), args.get("revision")
    request = SubflowCall(
        namespace=java_text(namespace),
        flow_id=java_text(flow_id),
        revision=None if revision is None else whole(revision),
        inputs=inputs if is_map(inputs) else {},
        labels=_labels(args.get("labels"), call),
        timeout_s=_timeout(args.get("timeout"), call),
    )
    name = f"'{request.namespace}'.'{request.flow_id}'"
    try:
        result = call.host.subflow(request)
    except Absent as error:
        raise call.fail(f"Unable to find flow {name}.") from error
    except ValueError as error:
        raise call.fail(f"Failed to run subflow {name}: {error}") from error
    if result.state not in ("SUCCESS", "WARNING"):
        raise call.fail(f"Subflow {name} ended in state {result.state} (execution {result.id}).")
    return {"id": result.id, "state": result.state, "outputs": dict(result.outputs), "labels": dict(result.labels)}


def _labels(given: Any, call: Call) -> dict[str, str]:
    if given is not None and not is_map(given):
        raise call.fail("The 'subflow' function 'labels' must be a map of string keys to values.")
    labels = {java_text(name): java_text(value) for name, value in (given or {}).items() if value is not None}
    for name in labels:
        if is_system_label(name) and name != CORRELATION_ID:
            raise call.fail(f"The 'subflow' function cannot set the system label '{name}'; such labels are reserved.")
    return labels | {FROM: "subflow"}


def _timeout(given: Any, call: Call) -> float:
    if given is None:
        return SUBFLOW_TIMEOUT_S
    text = java_text(given)
    try:
        seconds = parse_duration(given).total_seconds()
    except ValueError as error:
        raise call.fail(
            f"The 'subflow' function 'timeout' must be an ISO-8601 duration (e.g. 'PT30S'), got '{text}'."
        ) from error
    if seconds > SUBFLOW_TIMEOUT_MAX_S:
        raise call.fail(f"The 'subflow' function 'timeout' ({text}) exceeds the maximum allowed (PT5M).")
    return seconds


FUNCTIONS: Mapping[str, Function] = {
    "errorLogs": Function(_error_logs),
    "http": Function(_http, ("uri", "method", "query", "body", "contentType", "headers", "options", "accept")),
    "kv": Function(_kv, ("key", "namespace", "errorOnMissing")),
    "secret": Function(_secret, ("key", "namespace", "subkey", "full")),
    "subflow": Function(_subflow, ("namespace", "id", "inputs", "revision", "labels", "timeout")),
}
