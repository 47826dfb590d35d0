"""Flows, conditions and expressions for the cases of `schedule.yaml`, made from their data."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
import yaml

from tests.conformance.result import Mismatch
from tests.integration.scheduling import NoSecrets
from tiercel.expression.rendering import Engine, Renderer
from tiercel.flowspec.binder import bind_struct, bind_typed
from tiercel.flowspec.findings import Findings
from tiercel.flowspec.parse import parse_flow
from tiercel.flowspec.scalars import BROKEN
from tiercel.model.flow import Dialect, Flow
from tiercel.model.task import Condition, Task, Trigger
from tiercel.queue.memory import MemoryBackend
from tiercel.runtime.adapters import Adapters
from tiercel.runtime.expressions import KnownHost
from tiercel.scheduler.expressions import Expressions
from tiercel.storage.local import LocalStorage
from tiercel.testing.fake_clock import FakeClock

T = TypeVar("T")
TASKS = [{"id": "test", "type": "io.kestra.plugin.core.debug.Return", "format": "ok"}]
_BY_TYPE = (Task, Trigger, Condition)


def bound_flow(given: Mapping[str, Any], triggers: Sequence[Mapping[str, Any]] | None = None) -> Flow:
    """Make a flow; what a case does not say of it is filled in, and its system labels are kept."""
    document = {"id": "test", "namespace": "io.kestra.unittest", **given}
    labels = document.pop("labels", None)
    tenant_id, revision = document.pop("tenantId", "main"), document.pop("revision", None)
    document.setdefault("tasks", TASKS)
    if triggers:
        document["triggers"] = [{key: value for key, value in each.items() if value is not None} for each in triggers]
    flow = parse_flow(yaml.safe_dump(document, sort_keys=False), tenant_id=tenant_id, revision=revision or 1)
    return msgspec.structs.replace(flow, labels=labels or {})


def bound(base: type[T], given: Mapping[str, Any]) -> T:
    """Make a condition or a part of a flow from its data."""
    findings = Findings()
    bind: Any = bind_typed if base in _BY_TYPE else bind_struct
    found: Any = bind(base, dict(given), None, findings)
    if found is BROKEN:
        raise Mismatch("; ".join(str(problem) for problem in findings.problems(None)))
    return found


@contextmanager
def engine(dialect: Dialect, now: datetime) -> Iterator[tuple[Expressions, Renderer]]:
    """Give the means to render expressions at a time that stands still."""
    with tempfile.TemporaryDirectory() as folder:
        clock = FakeClock(now.astimezone(UTC))
        adapters = Adapters(queue=MemoryBackend(clock), storage=LocalStorage(folder), secrets=NoSecrets(), clock=clock)
        yield Expressions(adapters), Renderer(Engine(dialect=dialect.value), KnownHost({}, now, UTC))


def expect(what: str, wanted: Any, found: Any) -> None:
    """Raise Mismatch unless both are equal."""
    if wanted != found:
        raise Mismatch(f"{what}: expected {wanted!r}, found {found!r}")
