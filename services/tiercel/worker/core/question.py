"""
Questions that an expression asks of the world, and the host that passes them on.

Expressions are evaluated on the event loop, without a thread. What is not known raises `Asked`; the caller finds the
answer, and evaluates again from the start with the same time and the same chance, so that every pass sees the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from tiercel.expression.host import FileAddress, HttpRequest, HttpResponse, SubflowCall, SubflowResult

QUESTIONS_MAX: Final = 1000
"""Questions of one rendering; an expression that asks another one on every pass must end."""


class Asked(Exception):
    """An expression needs an answer first."""

    def __init__(self, sort: str, *about: Any) -> None:
        super().__init__(sort)
        self.sort = sort
        self.about = about

    @property
    def key(self) -> str:
        """What makes two questions the same one."""
        return f"{self.sort}{self.about!r}"


class Refusal:
    """An answer that is an error, to be raised where it was asked for."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


class AskingHost:
    """Answers an expression from what is known, and asks for the rest."""

    __slots__ = ("_now", "_random", "_seed", "known", "present")

    def __init__(self, present: datetime) -> None:
        self.known: dict[str, Any] = {}
        self.present = present
        self._now = present
        self._seed: int | None = None
        self._random: random.Random | None = None

    def begin(self, present: datetime) -> None:
        """Forget everything: a new rendering begins."""
        if self.known:
            self.known = {}
        self._now = present
        self._seed = None
        self._random = None

    def again(self) -> None:
        """Begin another pass of the same rendering."""
        self._random = None

    def _ask(self, sort: str, *about: Any) -> Any:
        question = Asked(sort, *about)
        key = question.key
        if key not in self.known:
            raise question
        answer = self.known[key]
        if isinstance(answer, Refusal):
            raise answer.error
        return answer

    @property
    def zone(self) -> tzinfo:
        return UTC

    @property
    def random(self) -> random.Random:
        if self._random is None:
            if self._seed is None:
                self._seed = random.SystemRandom().getrandbits(128)
            self._random = random.Random(self._seed)
        return self._random

    def now(self) -> datetime:
        return self._now

    def secret(self, namespace: str, key: str) -> str:
        return str(self._ask("secret", namespace, key))

    def kv(self, namespace: str, key: str, *, inherited: bool) -> Any:
        return self._ask("kv", namespace, key, inherited)

    def read_file(self, file: FileAddress) -> bytes:
        content: bytes = self._ask("file", file)
        return content

    def file_size(self, file: FileAddress) -> int:
        return int(self._ask("file_size", file))

    def file_exists(self, file: FileAddress) -> bool:
        return bool(self._ask("file_exists", file))

    def file_uri(self, file: FileAddress) -> str:
        return str(self._ask("file_uri", file))

    def error_logs(self) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self._ask("error_logs")
        return found

    def http(self, request: HttpRequest) -> HttpResponse:
        response: HttpResponse = self._ask("http", request)
        return response

    def subflow(self, call: SubflowCall) -> SubflowResult:
        result: SubflowResult = self._ask("subflow", call)
        return result

    def free_port(self) -> int:
        return int(self._ask("free_port"))


class LargeValue(Mapping[str, Any]):
    """Outputs that lie in internal storage: asked for when they are touched."""

    __slots__ = ("_value", "uri")

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._value: Mapping[str, Any] | None = None

    def fill(self, value: Mapping[str, Any]) -> None:
        """Take what was stored."""
        self._value = value

    def _loaded(self) -> Mapping[str, Any]:
        if self._value is None:
            raise Asked("large", self)
        return self._value

    def __getitem__(self, key: str) -> Any:
        return self._loaded()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded())

    def __len__(self) -> int:
        return len(self._loaded())

    def __contains__(self, key: object) -> bool:
        return key in self._loaded()

    def __repr__(self) -> str:
        return f"LargeValue({self.uri!r})"
