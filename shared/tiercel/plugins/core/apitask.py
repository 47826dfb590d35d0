"""
What tasks have in common that ask the installation's API: which installation, which tenant, who asks.

A worker has neither state nor history. Such a task calls the API that its worker knows, or another installation's when
it names one: Kestra's own tasks for this came with the same three properties.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Final

from tiercel.client.base import TenantApi
from tiercel.client.http import HttpApiClient
from tiercel.errors import TaskFailed
from tiercel.model.property import DYNAMIC, Node, constant
from tiercel.model.task import Objection
from tiercel.plugins.base import RunContext, RunnableTask
from tiercel.plugins.core.http.sender import uri_problem

NO_EXECUTION: Final = "'namespace' and 'flowId' name no execution; set 'executionId' too, or none of them."
HALF_A_FLOW: Final = "Both 'namespace' and 'flowId' must be set to name an execution of another flow."


class ApiAuth(Node, frozen=True, kw_only=True):
    """Who asks: a token, or a user with a password."""

    api_token: Annotated[str | None, DYNAMIC] = None
    username: Annotated[str | None, DYNAMIC] = None
    password: Annotated[str | None, DYNAMIC] = None
    auto: Annotated[bool | str, DYNAMIC] = True


class ApiTask(RunnableTask, frozen=True, kw_only=True):
    """A task that asks the API."""

    kestra_url: Annotated[str | None, DYNAMIC] = None
    auth: ApiAuth | None = None
    tenant_id: Annotated[str | None, DYNAMIC] = None

    def objections(self) -> Iterator[Objection]:
        url = constant(self.kestra_url)
        problem = uri_problem(url) if url else None
        if problem is not None:
            yield Objection(("kestraUrl",), problem, refuses=False)

    @contextlib.asynccontextmanager
    async def asked(self, context: RunContext) -> AsyncIterator[TenantApi]:
        """Yield the API that is meant."""
        url = await context.render(self.kestra_url)
        tenant_id = await context.render(self.tenant_id) or context.tenant_id
        if not url:
            yield context.api(tenant_id)
            return
        client = await self._client(url, context)
        try:
            yield client.of(tenant_id)
        finally:
            await client.close()

    async def _client(self, url: str, context: RunContext) -> HttpApiClient:
        auth = self.auth or ApiAuth()
        token, username = await context.render(auth.api_token), await context.render(auth.username)
        password = await context.render(auth.password)
        if token and username:
            raise TaskFailed("The property 'auth' has a token and a user; keep one of them.")
        if (username is None) is not (password is None):
            raise TaskFailed("The property 'auth' needs both 'username' and 'password'.")
        return HttpApiClient(url, username=username, password=password, token=token)


def execution_objections(namespace: object, flow_id: object, execution_id: object) -> Iterator[Objection]:
    """Yield a warning when the same properties are there, or are constants, in a way that names no execution."""
    written = bool(constant(namespace) or constant(flow_id))
    if written and execution_id is None:
        yield Objection((), NO_EXECUTION, refuses=False)
    elif written and (namespace is None or flow_id is None):
        yield Objection((), HALF_A_FLOW, refuses=False)


def execution_of(
    context: RunContext, namespace: str | None, flow_id: str | None, execution_id: str | None
) -> tuple[str, str, str]:
    """
    Return namespace, flow and id of the execution that rendered properties name; nothing names the one that runs.

    An id alone is one of this flow's; a flow alone names no execution.
    """
    if execution_id is None:
        if namespace is not None or flow_id is not None:
            raise TaskFailed(NO_EXECUTION)
        return context.namespace, context.flow_id, context.execution_id
    if (namespace is None) is not (flow_id is None):
        raise TaskFailed(HALF_A_FLOW)
    return namespace or context.namespace, flow_id or context.flow_id, execution_id
