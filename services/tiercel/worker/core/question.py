"""What the expressions of a task ask of the world: the host that passes their questions on, and large outputs."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from tiercel.expression.asking import Asked, AskingHost

QUESTIONS_MAX: Final = 1000
"""Questions of one rendering; an expression that asks another one on every pass must end."""


class WorkerHost(AskingHost):
    """What expressions of a task see; one for all that it renders."""

    __slots__ = ("_now", "_random", "_seed")

    def __init__(self, present: datetime) -> None:
        super().__init__({})
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
