"""Tasks that share one folder on one worker."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from tiercel.model.property import DYNAMIC, NOT_EMPTY, Node
from tiercel.plugins.core.flow.branching import TaskList
from tiercel.plugins.registry import register


class FolderCache(Node, frozen=True, kw_only=True):
    """Which files of the folder are kept from one execution to the next, and how long."""

    ttl: timedelta | None = None
    patterns: Annotated[tuple[str, ...], NOT_EMPTY]


class FileExists(StrEnum):
    """What happens to a file that is there already."""

    OVERWRITE = "OVERWRITE"
    FAIL = "FAIL"
    WARN = "WARN"
    IGNORE = "IGNORE"


class NamespaceFiles(Node, frozen=True, kw_only=True):
    """Which files of which namespaces are put into the folder before the task runs."""

    enabled: Annotated[bool | str, DYNAMIC] = True
    include: Annotated[list[str] | str | None, DYNAMIC] = None
    exclude: Annotated[list[str] | str | None, DYNAMIC] = None
    namespaces: Annotated[list[str] | str | None, DYNAMIC] = None
    if_exists: Annotated[str | FileExists, DYNAMIC] = FileExists.OVERWRITE
    folder_per_namespace: Annotated[bool | str, DYNAMIC] = False


@register(
    "io.kestra.plugin.core.flow.WorkingDirectory",
    "io.kestra.core.tasks.flows.WorkingDirectory",
    "io.kestra.core.tasks.flows.Worker",
)
class WorkingDirectory(TaskList, frozen=True, kw_only=True):
    """Run tasks one after another in the same folder of the same worker."""

    cache: FolderCache | None = None
    namespace_files: NamespaceFiles | None = None
    input_files: Annotated[Any, DYNAMIC] = None
    output_files: Annotated[list[str] | str | None, DYNAMIC] = None
