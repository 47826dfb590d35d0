"""What purges of keys and of files have in common: which namespaces are meant, and which versions are too old."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, Final

import msgspec

from tiercel.errors import TaskFailed
from tiercel.model.property import DYNAMIC, Node, constant
from tiercel.model.task import Objection
from tiercel.plugins.base import RunContext, RunnableTask
from tiercel.plugins.core.namespaces import with_flows
from tiercel.plugins.objection import list_objections
from tiercel.storage import uris

NAMESPACE_NEEDED: Final = "The property 'namespace' must be set when 'flowId' is."
BOTH: Final = "Properties 'namespaces' and 'namespacePattern' exclude each other; keep one."


class PurgeType(StrEnum):
    """What is purged: things as a whole, or earlier versions of them."""

    KEY = "key"
    FILE = "file"
    VERSION = "version"


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """
    Which versions are too old: written before a date, beyond an amount; without either, all but the present one.

    Only who keeps none loses the present one.
    """

    before: datetime | None = None
    keep: int | None = None


class PurgeBehavior(Node, frozen=True, kw_only=True):
    """What is purged, and which versions."""

    type: PurgeType = PurgeType.KEY
    before: Annotated[datetime | str | None, DYNAMIC] = None
    keep_amount: Annotated[int | str | None, DYNAMIC] = None

    async def rule(self, context: RunContext, keep_min: int) -> Rule:
        """Return the rule for versions; raise TaskFailed when fewer are to be kept than must be."""
        keep = await context.render(self.keep_amount, int)
        if keep is not None and keep < keep_min:
            raise TaskFailed(f"'keepAmount' {too_few(keep_min, keep)}")
        return Rule(before=await context.render(self.before, datetime), keep=keep)


def too_few(keep_min: int, keep: int | str) -> str:
    """Say how many versions must be kept."""
    return f"must be at least {keep_min}, but is {keep}" + (": the present version stays." if keep_min else ".")


def outdated(versions: Sequence[tuple[int, datetime]], rule: Rule) -> list[int]:
    """Return the versions (numbers, with their dates, the oldest first) that go."""
    kept = rule.keep if rule.keep is not None else 1
    candidates = versions[: max(0, len(versions) - kept)]
    return [number for number, at in candidates if rule.before is None or at < rule.before]


class PurgeTask(RunnableTask, frozen=True, kw_only=True):
    """A task that purges in several namespaces; `FOLDER` is where a namespace keeps what it purges."""

    FOLDER: ClassVar[str] = "/_kv/"
    KEEP_MIN: ClassVar[int] = 0
    """How many versions stay at least."""

    namespaces: Annotated[list[str] | str | None, DYNAMIC] = None
    namespace_pattern: Annotated[str | None, DYNAMIC] = None
    include_child_namespaces: Annotated[bool | str, DYNAMIC] = True

    def objections(self) -> Iterator[Objection]:
        yield from list_objections(namespaces=self.namespaces)
        named = isinstance(self.namespaces, list) or constant(self.namespaces)
        if named and constant(self.namespace_pattern):
            yield Objection((), BOTH)
        behavior = getattr(self, "behavior", None)
        keep = behavior.keep_amount if isinstance(behavior, PurgeBehavior) else None
        text = str(keep) if isinstance(keep, int) else constant(keep)
        if text is not None and text.removeprefix("-").isdecimal() and int(text) < self.KEEP_MIN:
            yield Objection(("behavior", "keepAmount"), too_few(self.KEEP_MIN, text))

    async def find_namespaces(self, context: RunContext) -> list[str]:
        """Return the namespaces that are meant: named ones, and of the others those that have flows."""
        named: list[str] | None = await context.render(self.namespaces, list[str])
        pattern = await context.render(self.namespace_pattern)
        if named is not None and pattern is not None:
            raise TaskFailed(BOTH)
        known = await with_flows(context) if context.has_api else await self._holding(context)
        if named is not None:
            children = await context.render(self.include_child_namespaces, bool) is not False
            below = [name for name in known if children and any(name.startswith(f"{each}.") for each in named)]
            return list(dict.fromkeys([*named, *below]))
        return [name for name in known if pattern is None or fnmatchcase(name, pattern)]

    async def _holding(self, context: RunContext) -> list[str]:
        """Look for namespaces in the storage: where there is no installation, nobody else knows them."""
        found = await context.storage.by_prefix(context.tenant_id, "/")
        folders = dict.fromkeys(uris.path_of(uri).partition(self.FOLDER)[0] for uri in found if self.FOLDER in uri)
        return [folder.strip("/").replace("/", ".") for folder in folders]
