"""Answers what an expression inside the core asks of the world: from facts, the event's time, seeded randomness."""

from __future__ import annotations

import random  # seeded from the task run, so that every pass of a decision draws the same
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

from tiercel.executor.core.facts import Facts
from tiercel.expression.host import Absent, FileAddress, HttpRequest, HttpResponse, SubflowCall, SubflowResult


class FactsHost:
    """Answers expressions from facts; what is not known is asked for with Missing."""

    def __init__(self, facts: Facts, at: datetime, seed: str) -> None:
        self._facts = facts
        self._at = at
        self._seed = seed
        self._random: random.Random | None = None

    @property
    def zone(self) -> tzinfo:
        return UTC

    @property
    def random(self) -> random.Random:
        if self._random is None:
            self._random = random.Random(self._seed)
        return self._random

    def now(self) -> datetime:
        return self._at

    def secret(self, namespace: str, key: str) -> str:
        return str(self._facts.ask("secret", namespace, key))

    def kv(self, namespace: str, key: str, *, inherited: bool) -> Any:
        return self._facts.ask("kv", namespace, key, inherited)

    def read_file(self, file: FileAddress) -> bytes:
        content: bytes = self._facts.ask("file", file)
        return content

    def file_size(self, file: FileAddress) -> int:
        return int(self._facts.ask("file_size", file))

    def file_exists(self, file: FileAddress) -> bool:
        return bool(self._facts.ask("file_exists", file))

    def file_uri(self, file: FileAddress) -> str:
        return str(self._facts.ask("file_uri", file))

    def error_logs(self) -> list[Mapping[str, Any]]:
        raise Absent("Logs can only be read while a task runs in a worker.")

    def http(self, request: HttpRequest) -> HttpResponse:
        raise OSError("http() can only be called while a task runs in a worker.")

    def subflow(self, call: SubflowCall) -> SubflowResult:
        raise ValueError("subflow() can only be called while a task runs in a worker.")

    def free_port(self) -> int:
        raise OSError("A port can only be found while a task runs in a worker.")
