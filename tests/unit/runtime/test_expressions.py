"""Rendering that asks the world between two passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiercel.errors import ExpressionError
from tiercel.model.flow import Dialect
from tiercel.queue.memory import MemoryBackend
from tiercel.runtime.adapters import Adapters
from tiercel.runtime.expressions import FETCHES_MAX, FILE_MAX, Expressions
from tiercel.secrets.environment import EnvironmentSecrets
from tiercel.storage import uris
from tiercel.storage.keyvalues import StorageKeyValues
from tiercel.storage.local import LocalStorage
from tiercel.testing.fake_clock import FakeClock

FLOW = {"flow": {"id": "f", "namespace": "company.team", "tenantId": "main"}}


class World:
    """Expressions, and the storage that they read."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.storage = LocalStorage(folder)
        adapters = Adapters(
            queue=MemoryBackend(self.clock),
            storage=self.storage,
            secrets=EnvironmentSecrets({"SECRET_WORD": "aHVzaA=="}),
            clock=self.clock,
        )
        self.expressions = Expressions(adapters)

    async def rendered(self, text: str) -> str:
        return await self.expressions.rendered("main", Dialect.V2, lambda renderer: renderer.render(text, FLOW))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_what_is_asked_for_is_fetched_and_the_work_done_again(world: World) -> None:
    """A secret, a value and a file in one text; the time is the same in every pass."""
    await StorageKeyValues(world.storage, "main", world.clock).put("company.team", "color", "blue")
    await world.storage.put("main", uris.uri(uris.namespace_file("company.team", "a.txt")), b"file")

    text = await world.rendered("{{ secret('WORD') }} {{ kv('color') }} {{ read('a.txt') }}")

    assert "hush blue file" == text


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("secret('NONE')", "NONE"),
        ("kv('none')", "none"),
        ("kv('not a key!')", "Key must start with"),
        ("read('none.txt')", "none.txt"),
        ("read('../../other/_files/a.txt')", "must not contain"),
        ("read('kestra:///company/team/f/executions/e/../../../../a.txt')", "did.*not|must not"),
        ("read('large.txt')", "large.txt"),
        ("read('file:///etc/hostname')", "worker"),
        ("subflow('company.team', 'g')", "worker"),
    ],
)
async def test_what_cannot_be_had_is_an_error_of_the_expression(world: World, expression: str, reason: str) -> None:
    """Never one of who renders: a flow with such an expression must not stop a scheduler."""
    await world.storage.put("main", uris.uri(uris.namespace_file("company.team", "large.txt")), b"\0" * (FILE_MAX + 1))

    with pytest.raises(ExpressionError, match=reason):
        await world.rendered("{{ " + expression + " }}")


async def test_an_expression_that_asks_without_an_end_is_ended(world: World) -> None:
    """Each pass may ask for one thing; there is a bound to their number."""
    await StorageKeyValues(world.storage, "main", world.clock).put("company.team", "k", "v")

    with pytest.raises(ExpressionError, match=f"more than {FETCHES_MAX}"):
        await world.rendered("{% for i in range(1, 200) %}{{ kv('k' ~ i, errorOnMissing=false) }}{% endfor %}")
