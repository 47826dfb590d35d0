"""One case while it runs: its engine, its names, and what its steps have made."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from tests.conformance.corpus import Case, Folder
from tests.conformance.engine import Engine
from tests.conformance.interpolation import Names
from tests.conformance.result import Mismatch
from tests.conformance.snapshot import Snapshot
from tests.conformance.values import build
from tests.conformance.waiting import RUN_TIMEOUT, until
from tiercel.secrets.encryption import Encryption

_NAMED = re.compile(r"\$\{(\w+)")


class World:
    """What the steps of a case share; also what its matchers ask (`tests.conformance.files.Files`)."""

    def __init__(self, case: Case, folder: Folder, engine: Engine) -> None:
        self.case = case
        self.folder = folder
        self.engine = engine
        self.names = Names(engine.now())
        self.names.aliases["http"] = engine.stub_url
        self.returned: dict[str, Snapshot] = {}
        self.frozen: set[str] = set()
        """Aliases that stand for an action's first answer only (`run: false`)."""
        self.seen: set[str] = set()
        """Executions that an `await_execution` has given out already."""

    # -- names

    async def filled(self, body: Any) -> Any:
        """Return a step's body with its `${…}` and typed values made, executions read anew."""
        # What waits for the step's own answer is made by the step.
        for name in set(_NAMED.findall(str(body))):
            await self._refresh(name)
        return build(self.names.fill(body), self.folder)

    async def _refresh(self, name: str) -> None:
        found = self.names.aliases.get(name)
        if isinstance(found, Snapshot):
            self.names.aliases[name] = await self.engine.snapshot(found.id) or found
        elif isinstance(found, list):
            self.names.aliases[name] = [
                (await self.engine.snapshot(one.id) or one) if isinstance(one, Snapshot) else one for one in found
            ]

    def execution_id(self, name: str) -> str:
        """Return the id of the execution that an alias (`e`, `s[0]`) names; a name of none is an id itself."""
        found = re.fullmatch(r"(\w+)(?:\[(-?\d+)\])?", name)
        value = self.names.aliases.get(found[1]) if found else None
        if found and isinstance(value, list):
            value = value[int(found[2] or 0)]
        return value.id if isinstance(value, Snapshot) else name

    async def snapshot(self, name: str) -> Snapshot:
        """Return the execution of an alias as it is now."""
        return await self.read(self.execution_id(name))

    async def read(self, execution_id: str) -> Snapshot:
        """Return an execution as it is now; raise Mismatch when it does not exist."""
        found = await self.engine.snapshot(execution_id)
        if found is None:
            raise Mismatch(f"There is no execution '{execution_id}'.")
        return found

    def remember(self, name: str | None, value: Any) -> None:
        """Give a value a name that later steps use."""
        if name:
            self.names.aliases[name] = value

    # -- waiting

    async def wait_for(
        self, execution_id: str, holds: Callable[[Snapshot], bool], what: str, timeout: str | None = None
    ) -> Snapshot:
        """Return the execution as soon as a condition on it holds."""
        version = -1

        async def ask() -> Snapshot | None:
            nonlocal version
            head = await self.engine.head(execution_id)
            if head is None or head[0].version == version:
                return None
            version = head[0].version
            found = await self.engine.snapshot(execution_id)
            return found if found is not None and holds(found) else None

        return await until(self.engine, ask, timeout or RUN_TIMEOUT, lambda: self.describe(execution_id, what))

    async def wait_ended(self, execution_id: str, timeout: str | None = None) -> Snapshot:
        """Return the execution when it and everything of it has ended."""

        async def ask() -> Snapshot | None:
            head = await self.engine.head(execution_id)
            return await self.engine.snapshot(execution_id) if head is not None and head[1] else None

        return await until(self.engine, ask, timeout or RUN_TIMEOUT, lambda: self.describe(execution_id, "its end"))

    async def describe(self, execution_id: str, what: str) -> str:
        """Say what an execution is while something else is awaited of it."""
        found = await self.engine.snapshot(execution_id)
        state = found.summary() if found is not None else "the execution does not exist"
        return f"waited for {what}; {state}"

    # -- what matchers ask

    def now(self) -> Any:
        return self.engine.now()

    async def read_file(self, uri: str) -> bytes:
        return await self.engine.storage.read(self.engine.tenant, uri)

    def decrypt(self, cipher: str) -> str:
        assert self.engine.encryption_key is not None
        return Encryption(self.engine.encryption_key).decrypt(cipher)

    def http_body(self, url: str) -> Any:
        return self.engine.stub_bodies[url]

    def input_file(self) -> str | None:
        return self.names.first_uri()


Verb = Callable[[World, dict[str, Any]], Awaitable[None]]
VERBS: dict[str, Verb] = {}


def verb(name: str) -> Callable[[Verb], Verb]:
    """Decorate the function of a step's verb."""

    def decorate(function: Verb) -> Verb:
        VERBS[name] = function
        return function

    return decorate
