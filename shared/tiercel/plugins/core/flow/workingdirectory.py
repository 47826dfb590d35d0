"""Tasks that share one folder on one worker."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from tiercel.model.property import DYNAMIC, NOT_EMPTY, Node
from tiercel.model.task import Objection
from tiercel.plugins.core.flow.branching import TaskList
from tiercel.plugins.filename import file_objections
from tiercel.plugins.objection import list_objections
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
    """Whether files are put into the folder."""
    include: Annotated[list[str] | str | None, DYNAMIC] = None
    """Patterns of the files to take; without any, all."""
    exclude: Annotated[list[str] | str | None, DYNAMIC] = None
    """Patterns of files to leave out."""
    namespaces: Annotated[list[str] | str | None, DYNAMIC] = None
    """The namespaces; without any, the flow's own."""
    if_exists: Annotated[str | FileExists, DYNAMIC] = FileExists.OVERWRITE
    """What happens when a file is there already."""
    folder_per_namespace: Annotated[bool | str, DYNAMIC] = False
    """Whether each namespace gets a folder of its own."""

    def objections(self) -> Iterator[Objection]:
        """Yield texts where lists are wanted."""
        yield from list_objections(include=self.include, exclude=self.exclude, namespaces=self.namespaces)


@register(
    "io.kestra.plugin.core.flow.WorkingDirectory",
    "io.kestra.core.tasks.flows.WorkingDirectory",
    "io.kestra.core.tasks.flows.Worker",
)
class WorkingDirectory(TaskList, frozen=True, kw_only=True):
    """
    Run tasks one after another in the same folder of the same worker.

    Example:
        id: folder
        type: io.kestra.plugin.core.flow.WorkingDirectory
        tasks:
          - id: write
            type: io.kestra.plugin.scripts.shell.Commands
            commands: [date > now.txt]
          - id: read
            type: io.kestra.plugin.scripts.shell.Commands
            commands: [cat now.txt]
        outputFiles: [now.txt]
    """

    cache: FolderCache | None = None
    """What is kept of the folder for the next execution."""
    namespace_files: NamespaceFiles | None = None
    """Files of namespaces that are put into the folder."""
    input_files: Annotated[Any, DYNAMIC] = None
    """Files by name: a content, or the URI of one."""
    output_files: Annotated[list[str] | str | None, DYNAMIC] = None
    """Names or patterns of files that are kept."""

    def objections(self) -> Iterator[Objection]:
        yield from file_objections("inputFiles", self.input_files, "outputFiles", self.output_files)
        for objection in self.namespace_files.objections() if self.namespace_files is not None else ():
            yield objection.below("namespaceFiles")
