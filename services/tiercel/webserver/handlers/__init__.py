"""The routes of the API, a module for each resource."""

from __future__ import annotations

from typing import Any

from tiercel.webserver.handlers import (
    actions,
    auditlogs,
    backfills,
    bulk,
    concurrency,
    creation,
    details,
    executionfiles,
    executions,
    flows,
    flowsets,
    following,
    graphs,
    keyvalues,
    language,
    listings,
    logs,
    metrics,
    misc,
    namespaces,
    plugins,
    purges,
    reviews,
    templates,
    triggers,
    webhooks,
)

HANDLERS: list[Any] = [
    *creation.HANDLERS,
    *executions.HANDLERS,
    *details.HANDLERS,
    *executionfiles.HANDLERS,
    *following.HANDLERS,
    *actions.HANDLERS,
    *reviews.HANDLERS,
    *bulk.HANDLERS,
    *webhooks.HANDLERS,
    *flows.HANDLERS,
    *flowsets.HANDLERS,
    *graphs.HANDLERS,
    *logs.HANDLERS,
    *auditlogs.HANDLERS,
    *purges.HANDLERS,
    *metrics.HANDLERS,
    *triggers.HANDLERS,
    *concurrency.HANDLERS,
    *backfills.HANDLERS,
    *keyvalues.HANDLERS,
    *namespaces.HANDLERS,
    *language.HANDLERS,
    *listings.HANDLERS,
    *plugins.HANDLERS,
    *templates.HANDLERS,
    *misc.HANDLERS,
]
"""Every route; paths are without the tenant."""
