"""FilterItems and DeduplicateItems: go through the rows of an Ion file with an expression."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from tiercel.errors import ExpressionError, TaskFailed
from tiercel.expression.truth import means_true
from tiercel.model.property import DYNAMIC, NOT_EMPTY
from tiercel.model.task import Objection
from tiercel.plugins.base import RunContext, RunnableTask
from tiercel.plugins.core.storage.rows import written_rows
from tiercel.plugins.objection import uri_objections
from tiercel.plugins.registry import register

TURN_ROWS: Final = 200
"""Rows that are worked on before other tasks get their turn."""


async def rows_of(path: Path) -> AsyncIterator[tuple[bytes, dict[str, Any]]]:
    """Yield each row as it is written, and the variables that an expression about it sees: its fields."""
    count = 0
    try:
        for row, line in written_rows(path):
            count += 1
            if count % TURN_ROWS == 0:
                await asyncio.sleep(0)  # other tasks of the worker have their turn
            yield line, row if isinstance(row, dict) else {"value": row}
    except ValueError as error:
        raise TaskFailed(f"Row {count + 1} of the file cannot be read: {error}") from error


def output_path(context: RunContext) -> Path:
    """Return the path of a new file of rows in the task's folder."""
    return context.working_dir / f"{os.urandom(8).hex()}.ion"


class FilterType(StrEnum):
    """What becomes of the rows that meet the condition."""

    INCLUDE = "INCLUDE"
    EXCLUDE = "EXCLUDE"


class OnError(StrEnum):
    """What becomes of the rows for which the condition has no answer."""

    FAIL = "FAIL"
    INCLUDE = "INCLUDE"
    EXCLUDE = "EXCLUDE"


@register("io.kestra.plugin.core.storage.FilterItems", "io.kestra.core.tasks.storages.FilterItems")
class FilterItems(RunnableTask, frozen=True, kw_only=True):
    """Keep the rows of a file that meet a condition, or those that do not."""

    from_: Annotated[str, DYNAMIC, NOT_EMPTY] = msgspec.field(name="from")
    filter_condition: Annotated[str, DYNAMIC, NOT_EMPTY]
    filter_type: Annotated[str | FilterType, DYNAMIC] = FilterType.INCLUDE
    error_or_null_behavior: Annotated[str | OnError, DYNAMIC] = OnError.FAIL

    def objections(self) -> Iterator[Objection]:
        yield from uri_objections("from", self.from_)

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Write the kept rows into a new file."""
        path = await context.fetch(await context.render(self.from_), read_only=True)
        excludes = await context.render(self.filter_type, FilterType) is FilterType.EXCLUDE
        on_error: OnError = await context.render(self.error_or_null_behavior, OnError)
        processed = kept = 0
        target = output_path(context)
        with target.open("wb") as file:
            async for line, variables in rows_of(path):
                processed += 1
                answer = await self._answer(context, variables, on_error)
                keep = (answer != excludes) if answer is not None else on_error is OnError.INCLUDE
                if keep:
                    kept += 1
                    file.write(line)
        context.counter("records", kept)
        uri = await context.store(target.name, target, final=True)
        return {"uri": uri, "processedItemsTotal": processed, "droppedItemsTotal": processed - kept}

    async def _answer(self, context: RunContext, variables: dict[str, Any], on_error: OnError) -> bool | None:
        """Return whether the condition holds; None when it has no answer and that is allowed."""
        try:
            text = (await context.render(self.filter_condition, str, **variables)).strip()
            # An empty text is false; only null is no answer.
            if text or await context.render(self.filter_condition, Any, **variables) is not None:
                return means_true(text)
        except ExpressionError:
            if on_error is OnError.FAIL:
                raise
            return None
        if on_error is OnError.FAIL:
            raise ExpressionError(f"The condition `{self.filter_condition}` has no value for the row {variables}.")
        return None


@register("io.kestra.plugin.core.storage.DeduplicateItems", "io.kestra.core.tasks.storages.DeduplicateItems")
class DeduplicateItems(RunnableTask, frozen=True, kw_only=True):
    """Keep the last row of every key, where an expression makes the key."""

    from_: Annotated[str, DYNAMIC, NOT_EMPTY] = msgspec.field(name="from")
    expr: Annotated[str, DYNAMIC, NOT_EMPTY]

    def objections(self) -> Iterator[Objection]:
        yield from uri_objections("from", self.from_)

    async def run(self, context: RunContext) -> dict[str, Any]:
        """Write the last rows into a new file, in their order."""
        path = await context.fetch(await context.render(self.from_), read_only=True)
        # Digests instead of keys: memory per key stays small however long the keys are.
        last: dict[bytes, int] = {}
        count = 0
        async for _, variables in rows_of(path):
            key = await context.render(self.expr, str, **variables)
            last[blake2b(key.encode(), digest_size=16).digest()] = count
            count += 1
        wanted = set(last.values())
        target = output_path(context)
        number = 0
        with target.open("wb") as file:
            async for line, _ in rows_of(path):
                if number in wanted:
                    file.write(line)
                number += 1
        context.counter("records", len(wanted))
        return {
            "uri": await context.store(target.name, target, final=True),
            "numKeys": len(wanted),
            "processedItemsTotal": count,
            "droppedItemsTotal": count - len(wanted),
        }
