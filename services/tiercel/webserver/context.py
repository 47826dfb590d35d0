"""What the handlers of requests work with: made once for a process."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from tiercel.flowspec.defaults import read_outer
from tiercel.messages.topics import HISTORY
from tiercel.queue import backlog
from tiercel.runtime import outbound
from tiercel.runtime.adapters import Adapters
from tiercel.runtime.expressions import Expressions
from tiercel.secrets.encryption import Encryption
from tiercel.webserver import subflows
from tiercel.webserver.emitter import Emitter
from tiercel.webserver.flowcache import FlowCache
from tiercel.webserver.follower import Followers
from tiercel.webserver.query import Query
from tiercel.webserver.reader import Reader
from tiercel.webserver.request import AnyRequest, tenant_of
from tiercel.webserver.settings import WebserverSettings


class ApiContext:
    """The adapters, and what the webserver keeps between requests."""

    def __init__(self, adapters: Adapters, settings: WebserverSettings) -> None:
        assert adapters.statestore is not None, "A webserver needs a state store."
        assert adapters.definitions is not None, "A webserver needs definitions."
        assert adapters.repository is not None, "A webserver needs a repository."
        self.adapters, self.settings = adapters, settings
        self.queue, self.storage, self.clock = adapters.queue, adapters.storage, adapters.clock
        self.statestore, self.definitions = adapters.statestore, adapters.definitions
        self.repository, self.secrets = adapters.repository, adapters.secrets
        self.expressions = Expressions(
            adapters, recursive=settings.recursive_rendering, run_subflow=partial(subflows.run, self)
        )
        send = partial(outbound.answered, timeout_s=settings.input_request_s) if settings.input_request_s else None
        self.input_expressions = Expressions(
            adapters, recursive=settings.recursive_rendering, run_subflow=partial(subflows.run, self), send_http=send
        )
        """For inputs alone: what they may be chosen from is asked of other services."""
        self.encryption = Encryption(settings.encryption_key) if settings.encryption_key else None
        self.draining = asyncio.Event()
        """Set when the process takes no new requests: streams end."""
        self.is_behind = False
        """History is so far behind that new executions have to wait."""
        self.defaults = read_outer(settings.plugin_defaults)
        """Plugin defaults of the installation and of its namespaces."""
        self.emitter = Emitter(self.queue)
        self.flows = FlowCache(self.definitions, self.clock)
        self.followers = Followers(self.statestore, self.queue, self.clock, settings.poll_interval_s)
        self.reader = Reader(
            self.statestore, self.repository, self.queue, self.followers, self.clock, settings.created_wait_s
        )

    @property
    def surroundings(self) -> dict[str, Any]:
        """What expressions see of the installation."""
        own = self.settings
        return {"globals": own.variables_globals, "envs": own.envs, "kestra": own.kestra}

    async def watch_backlog(self) -> None:
        """Look from time to time how far behind the writing of history is, until cancelled."""
        while True:
            depths = await backlog.measure(self.queue)
            age_s = max((depth.oldest_s for depth in depths if depth.topic == HISTORY.name), default=0.0)
            self.is_behind = age_s > self.settings.backlog_age_max_s
            await self.clock.sleep(backlog.INTERVAL_S)  # a gauge is read at this pace

    async def close(self) -> None:
        """End what runs in the background."""
        await self.followers.close()


class Call:
    """One request, as handlers see it: the tenant, the form of the API that was asked for, and the query."""

    def __init__(self, request: AnyRequest) -> None:
        self.api: ApiContext = request.app.state.api
        self.request = request
        scope: Any = request.scope
        self.tenant_id: str = tenant_of(scope)
        self.is_new: bool = scope.get("tiercel.new", False)
        """True when the path names the tenant: answers then have the form of 2.0 where the two differ."""
        self.query = Query(scope["query_string"])
