"""
The task types: `Commands` and `Script` of every language.

Commands are lines of a shell. A script is a text of the language: that of a shell is run as it is, any other one is
written into the task's folder and given to the language's program.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec

from tiercel.model.property import DEPRECATED, DYNAMIC, NOT_EMPTY, constant
from tiercel.model.task import Objection
from tiercel.plugins.base import OWN_PREFIX, RunContext, RunnableTask, TaskResult, TaskRunner
from tiercel.plugins.core.flow.workingdirectory import NamespaceFiles
from tiercel.plugins.filename import file_objections
from tiercel.plugins.objection import list_objections
from tiercel.plugins.registry import register
from tiercel.plugins.scripts.commands import CommandRun, Plan, found, own_python
from tiercel.plugins.scripts.environments import PackageManager, version_problem
from tiercel.plugins.scripts.runners import DockerOptions, OlderRunner, chosen

PACKAGE: Final = "io.kestra.plugin.scripts"


class Language(msgspec.Struct, frozen=True, kw_only=True):
    """How a script of a language is run; of several programs the first that is installed."""

    programs: tuple[str, ...]
    extension: str
    arguments: tuple[str, ...] = ()
    image: str | None = None
    """Where it runs in a container when no image is named."""


LANGUAGES: Final[Mapping[str, Language | None]] = {
    "bun": Language(programs=("bun",), arguments=("run",), extension=".ts", image="oven/bun"),
    "deno": Language(programs=("deno",), arguments=("run", "--allow-all"), extension=".ts", image="denoland/deno"),
    "dotnet": Language(programs=("dotnet",), arguments=("script",), extension=".csx"),
    "go": Language(programs=("go",), arguments=("run",), extension=".go", image="golang"),
    "groovy": Language(programs=("groovy",), extension=".groovy", image="groovy"),
    "jbang": Language(programs=("jbang",), extension=".java"),
    "julia": Language(programs=("julia",), extension=".jl", image="julia"),
    "lua": Language(programs=("lua", "lua5.4", "lua5.3"), extension=".lua"),
    "node": Language(programs=("node", "nodejs"), extension=".js", image="node"),
    "perl": Language(programs=("perl",), extension=".pl", image="perl"),
    "php": Language(programs=("php",), extension=".php", image="php"),
    "powershell": Language(programs=("pwsh",), arguments=("-NoProfile", "-File"), extension=".ps1"),
    "python": Language(programs=("python", "python3"), extension=".py", image="python:3.13-slim"),
    "r": Language(programs=("Rscript",), extension=".R", image="r-base"),
    "ruby": Language(programs=("ruby",), extension=".rb", image="ruby"),
    "shell": None,
}
"""By the name in the type; None where the interpreter takes the text itself."""


PYTHON: Final = "python"
SHELL_IMAGE: Final = "ubuntu"


class TargetOS(StrEnum):
    """For which system commands are written."""

    LINUX = "LINUX"
    WINDOWS = "WINDOWS"
    AUTO = "AUTO"


class ScriptTask(RunnableTask, frozen=True, kw_only=True):
    """What commands and scripts have in common (reference 4.4)."""

    task_runner: TaskRunner | None = None
    """Where the commands run; without it as a process of the worker, or in a container of `containerImage`."""
    runner: Annotated[OlderRunner | None, DEPRECATED] = None
    """The older way to choose: `PROCESS` or `DOCKER`."""
    docker: Annotated[DockerOptions | None, DEPRECATED] = None
    """The container of `runner: DOCKER`."""
    container_image: Annotated[str | None, DYNAMIC] = None
    before_commands: Annotated[list[str] | str | None, DYNAMIC] = None
    env: Annotated[dict[str, Any] | str | None, DYNAMIC] = None
    warning_on_std_err: Annotated[bool | str, DYNAMIC] = False
    interpreter: Annotated[list[str] | str | None, DYNAMIC] = None
    fail_fast: Annotated[bool | str, DYNAMIC] = True
    namespace_files: NamespaceFiles | None = None
    input_files: Annotated[Any, DYNAMIC] = None
    output_files: Annotated[list[str] | str | None, DYNAMIC] = None
    output_directory: Annotated[bool | str | None, DYNAMIC] = None
    """Whether the files of `{{ outputDir }}` are kept; where nothing is said, only with the older `runner`."""
    target_os: Annotated[str | TargetOS, DYNAMIC] = msgspec.field(default=TargetOS.AUTO, name="targetOS")
    dependencies: Annotated[list[str] | str | None, DYNAMIC] = None
    """Packages that a Python script needs, as pip names them; other languages have none."""
    python_version: Annotated[str | None, DYNAMIC] = None
    """The Python that runs a Python script, as `3.12`; in a container it chooses the image when none is named."""
    package_manager: Annotated[PackageManager | str | None, DYNAMIC] = None
    """What installs the dependencies: `UV` (where it is installed; else pip does) or `PIP`."""
    uv_auto_install_enabled: Annotated[bool | str, DYNAMIC] = True
    """Accepted, without effect: a worker fetches no installer by itself."""
    dependency_cache_enabled: Annotated[bool | str, DYNAMIC] = True
    """Whether the environment with these packages is kept for the next run."""
    execution_context: Annotated[bool | str, DYNAMIC] = False
    """Whether the script finds what expressions see in the file `.kestra-execution-context.json` of its folder."""

    def objections(self) -> Iterator[Objection]:
        yield from file_objections("inputFiles", self.input_files, "outputFiles", self.output_files)
        yield from list_objections(interpreter=self.interpreter)
        for objection in self.namespace_files.objections() if self.namespace_files is not None else ():
            yield objection.below("namespaceFiles")
        for name, runner in (("taskRunner", self.task_runner), ("docker", self.docker)):
            for objection in runner.objections() if runner is not None else ():
                yield objection.below(name)
        version = constant(self.python_version)
        problem = version_problem(version) if version else None
        if problem is not None:
            yield Objection(("pythonVersion",), problem, refuses=False)

    def plan(self, commands: Any) -> Plan:
        """Return what is to be run."""
        return Plan(
            commands=commands,
            before=self.before_commands,
            interpreter=self.interpreter,
            fail_fast=self.fail_fast,
            environment=self.env,
            namespace_files=self.namespace_files,
            input_files=self.input_files,
            output_files=self.output_files,
            output_directory=self.runner is not None if self.output_directory is None else self.output_directory,
            warning_on_stderr=self.warning_on_std_err,
            image=self.container_image,
            default_image=self.default_image,
            dependencies=self.dependencies if self.language == PYTHON else None,
            python_version=self.python_version if self.language == PYTHON else None,
            package_manager=self.package_manager,
            dependency_cache=self.dependency_cache_enabled,
            execution_context=self.execution_context,
            runner=chosen(self.task_runner, self.runner, self.docker, self.container_image),
        )

    @property
    def language(self) -> str:
        """The language's name, out of the type's."""
        return self.type.removeprefix(f"{PACKAGE}.").partition(".")[0]

    @property
    def default_image(self) -> str:
        """The image of a container when none is named."""
        if self.language == PYTHON and self.python_version:
            return f"python:{self.python_version}-slim"
        language = LANGUAGES.get(self.language)
        return SHELL_IMAGE if language is None else language.image or SHELL_IMAGE

    @property
    def search_path(self) -> str | None:
        """A folder to search programs in when nothing else has them."""
        return own_python() if self.language == PYTHON else None


class Commands(ScriptTask, frozen=True, kw_only=True):
    """Run lines of a shell, with the language's programs at hand."""

    commands: Annotated[list[str] | str, DYNAMIC, NOT_EMPTY]

    async def run(self, context: RunContext) -> TaskResult:
        """Run the commands as one script of the interpreter."""
        run = CommandRun(context, self.plan(self.commands))
        await run.prepare()
        return await run.execute(path=self.search_path)


class Script(ScriptTask, frozen=True, kw_only=True):
    """Run a script that stands in the flow."""

    script: Annotated[str, DYNAMIC, NOT_EMPTY]

    async def run(self, context: RunContext) -> TaskResult:
        """Run the script with the language's program."""
        language = LANGUAGES.get(self.language)
        if language is None:
            run = CommandRun(context, self.plan([self.script]))
            await run.prepare()
            return await run.execute(path=self.search_path)
        run = CommandRun(context, self.plan(None))
        await run.prepare()
        text = await run.localized(await context.render(self.script, str, **run.variables))
        path = context.working_dir / f"{OWN_PREFIX}{os.urandom(6).hex()}{language.extension}"
        path.write_text(text)
        program = language.programs[0] if run.is_elsewhere else found(language.programs)
        command = [program, *language.arguments, run.named(path)]
        return await run.execute([shlex.join(command)], path=self.search_path)


for _language in LANGUAGES:
    register(f"{PACKAGE}.{_language}.Commands")(Commands)
    register(f"{PACKAGE}.{_language}.Script")(Script)
