"""
The three steps of a ForEachItem, which no author writes: cut the file, run a flow for each batch, join the outputs.

The plan of a flow makes them from the task; the first and the last are jobs, the one between is the executor's.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

from tiercel.errors import NotFound, TaskFailed
from tiercel.model.property import DYNAMIC
from tiercel.plugins.base import ExecutableTask, RunContext, RunnableTask, Task
from tiercel.plugins.core.flow.subflow import Batch, ForEachItem
from tiercel.plugins.core.storage.split import Rule, positive, size_of, store_split
from tiercel.plugins.registry import register
from tiercel.storage import uris

PREFIX: Final = "io.kestra.plugin.core.flow.ForEachItem$ForEachItem"
_SHARED: Final = (
    "namespace",
    "flow_id",
    "revision",
    "inputs",
    "labels",
    "wait",
    "transmit_failed",
    "inherit_labels",
    "schedule_date",
)


@register(PREFIX + "Split")
class Split(RunnableTask, frozen=True, kw_only=True):
    """Cut a file of items into batches; `splits` is a file with the URI of each."""

    REMOVED: ClassVar[bool] = True

    items: Annotated[str, DYNAMIC]
    batch: Batch = Batch()

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Store the batches and their list."""
        uri = await context.render(self.items)
        if not uris.is_uri(uri):
            raise TaskFailed(f"'items' must be the URI of a file in internal storage, but it is '{uri}'.")
        batch = self.batch
        rule = Rule(
            bytes=size_of(await context.render(batch.bytes)),
            partitions=positive(await context.render(batch.partitions, int), "partitions"),
            rows=positive(await context.render(batch.rows, int), "rows") or 1,
            pattern=await context.render(batch.regex_pattern),
            separator=await context.render(batch.separator) or "\n",
        )
        parts = await store_split(context, uri, rule)
        target = context.working_dir / f"{os.urandom(6).hex()}.txt"
        target.write_text("".join(part + "\n" for part in parts), encoding="utf-8")
        return {"splits": await context.store(target.name, target, final=True)}


@register(PREFIX + "Executable")
class Items(ExecutableTask, frozen=True, kw_only=True):
    """Run a flow for each batch that `splits_of` has made."""

    REMOVED: ClassVar[bool] = True

    splits_of: str
    namespace: Annotated[str, DYNAMIC]
    flow_id: Annotated[str, DYNAMIC]
    revision: int | None = None
    inputs: Annotated[dict[str, Any] | str | None, DYNAMIC] = None
    labels: Annotated[Any, DYNAMIC] = None
    wait: bool = True
    transmit_failed: bool = True
    inherit_labels: Annotated[bool | str, DYNAMIC] = False
    schedule_date: Annotated[str | None, DYNAMIC] = None


@register(PREFIX + "MergeOutputs")
class Merge(RunnableTask, frozen=True, kw_only=True):
    """Join the outputs of the executions, in the order of their batches, into one file."""

    REMOVED: ClassVar[bool] = True

    folder: Annotated[str, DYNAMIC]
    count: Annotated[int | str | None, DYNAMIC] = None

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Store the joined file; there is none when no execution has outputs."""
        folder = await context.render(self.folder)
        count = await context.render(self.count, int) or 0
        target: Path = context.working_dir / f"{os.urandom(6).hex()}.ion"
        joined = False
        with target.open("wb") as file:
            for index in range(count if folder else 0):
                part = f"{folder}/{index}/outputs.ion"
                with contextlib.suppress(NotFound):  # an execution without outputs has left none
                    async with context.storage.open(context.tenant_id, part) as chunks:
                        joined = True
                        async for chunk in chunks:
                            file.write(chunk)
        return {"subflowOutputs": await context.store(target.name, target, final=True)} if joined else {}


def steps_of(task: ForEachItem, *, is_inside: bool) -> tuple[Task, ...]:
    """Return the steps of a task; `is_inside` says that loops with values are around it."""
    name = f"outputs['{task.id}_items']"
    found = f"currentEachOutput({name})" if is_inside else name
    shared: dict[str, Any] = {field: getattr(task, field) for field in _SHARED}
    return (
        Split(id=f"{task.id}_split", type=PREFIX + "Split", items=task.items, batch=task.batch),
        Items(id=f"{task.id}_items", type=PREFIX + "Executable", splits_of=f"{task.id}_split", **shared),
        Merge(
            id=f"{task.id}_merge",
            type=PREFIX + "MergeOutputs",
            folder="{{ " + found + ".subflowOutputsBaseUri ?? '' }}",
            count="{{ " + found + ".numberOfBatches ?? 0 }}",
        ),
    )
