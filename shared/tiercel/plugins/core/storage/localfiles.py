"""LocalFiles: puts files into the folder of a WorkingDirectory, and keeps files of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from tiercel.model.property import DYNAMIC
from tiercel.model.task import Objection
from tiercel.plugins import folder
from tiercel.plugins.base import RunContext, RunnableTask
from tiercel.plugins.filename import file_objections
from tiercel.plugins.registry import register


@register("io.kestra.plugin.core.storage.LocalFiles", "io.kestra.core.tasks.storages.LocalFiles")
class LocalFiles(RunnableTask, frozen=True, kw_only=True):
    """Make files for the tasks that follow, and keep those that earlier ones have left."""

    DEPRECATED: ClassVar[bool] = True
    REMOVED: ClassVar[bool] = True

    inputs: Annotated[Any, DYNAMIC] = None
    outputs: Annotated[list[str] | str | None, DYNAMIC] = None

    def objections(self) -> Iterator[Objection]:
        yield from file_objections("inputs", self.inputs, "outputs", self.outputs)

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Write the inputs, store the outputs."""
        if self.inputs is not None:
            await folder.put_input_files(context, self.inputs)
        return {"uris": await folder.collect_output_files(context, self.outputs)}
