"""Makes outputs out of expressions."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from tiercel.model.property import DYNAMIC, NOT_EMPTY
from tiercel.plugins.base import RunContext, RunnableTask
from tiercel.plugins.registry import register


@register("io.kestra.plugin.core.output.OutputValues")
class OutputValues(RunnableTask, frozen=True, kw_only=True):
    """
    Return rendered values as the output `values`.

    Example:
        id: result
        type: io.kestra.plugin.core.output.OutputValues
        values:
          total: "{{ outputs.count.value }}"
    """

    COMPUTES: ClassVar[bool] = True

    values: Annotated[dict[str, Any] | str, DYNAMIC, NOT_EMPTY]
    """Outputs by name."""

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Render the map."""
        return {"values": await context.render(self.values, dict[str, Any]) or {}}
