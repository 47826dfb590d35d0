"""
A host that does not wait: what it does not know it asks for, and the expression is evaluated again with the answer.

`Asked` passes through whatever renders. Who evaluates finds the answer, and begins again from the start with the same
time and the same random numbers, so that every pass sees the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiercel.expression.host import FileAddress, HttpRequest, HttpResponse, SubflowCall, SubflowResult


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


class AskingHost:
    """Answers from what is known, by the keys of questions, and asks for the rest; an answer may be an error."""

    __slots__ = ("known",)

    def __init__(self, known: dict[str, Any]) -> None:
        self.known = known

    def _ask(self, sort: str, *about: Any) -> Any:
        question = Asked(sort, *about)
        key = question.key
        if key not in self.known:
            raise question
        answer = self.known[key]
        if isinstance(answer, Exception):
            raise answer
        return answer

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
