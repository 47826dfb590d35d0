"""Tasks one after another."""

from __future__ import annotations

from tiercel.plugins.core.flow.branching import TaskList
from tiercel.plugins.registry import register


@register("io.kestra.plugin.core.flow.Sequential", "io.kestra.core.tasks.flows.Sequential")
class Sequential(TaskList, frozen=True, kw_only=True):
    """Run tasks one after another."""


@register("io.kestra.plugin.core.flow.AllowFailure", "io.kestra.core.tasks.flows.AllowFailure")
class AllowFailure(TaskList, frozen=True, kw_only=True):
    """Run tasks one after another; a failure among them is a warning."""
