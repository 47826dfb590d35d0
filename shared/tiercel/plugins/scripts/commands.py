"""
Everything between a task's properties and its process: files, variables, environment, and what is kept afterwards.

Order (reference 4.4): namespace files, input files, commands rendered with `workingDir`, `outputDir` and `outputFiles`,
storage URIs in them replaced by paths, one process, then output files.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from tiercel.errors import TaskFailed, TiercelError
from tiercel.model.state import State
from tiercel.plugins import folder
from tiercel.plugins.base import OWN_PREFIX, PluginRunner, RunContext, TaskResult, TaskRunner, Work
from tiercel.plugins.core.flow.workingdirectory import NamespaceFiles
from tiercel.plugins.scripts import environments, executioncontext
from tiercel.plugins.scripts.container import Container
from tiercel.plugins.scripts.engine import Engine, EngineUnavailable, found_host
from tiercel.plugins.scripts.environments import Needs, PackageManager
from tiercel.plugins.scripts.process import Process
from tiercel.plugins.scripts.protocol import DEBUG_MARK, INFO_MARK, LineReader, Printed
from tiercel.plugins.scripts.runners import DockerRunner

SHELL: Final = ("/bin/sh", "-c")
ARGUMENT_SIZE_MAX: Final = 100_000
"""Bytes of one argument; Linux allows 131,072, and beyond this the commands go into a file."""
_URI: Final = re.compile(r"kestra://[-a-zA-Z0-9%._+~#=/]+")
_GLOB: Final = re.compile(r"[*?{\[]")
_FOLDERS: Final = {"workingDir": "WORKING_DIR", "outputDir": "OUTPUT_DIR", "bucketPath": "BUCKET_PATH"}
"""Variables that commands find in their environment, too."""
HIDDEN_PREFIXES: Final = ("SECRET_", "TIERCEL_")
"""Variables of the worker that no script sees: secrets, and the worker's own settings."""


class Plan(msgspec.Struct, kw_only=True):
    """What is to be run, unrendered."""

    commands: Any
    before: Any = None
    interpreter: Any = None
    fail_fast: Any = True
    environment: Any = None
    namespace_files: NamespaceFiles | None = None
    input_files: Any = None
    output_files: Any = None
    output_directory: Any = False
    warning_on_stderr: Any = False
    runner: TaskRunner | None = None
    image: Any = None
    default_image: str | None = None
    dependencies: Any = None
    python_version: Any = None
    package_manager: Any = None
    dependency_cache: Any = True
    execution_context: Any = False


class CommandRun:
    """One run of commands."""

    def __init__(self, context: RunContext, plan: Plan) -> None:
        self._context = context
        self._plan = plan
        self.variables: dict[str, Any] = {}
        self.printed = Printed(context)
        self._output_dir: Path | None = None
        self._host: str | None = None
        self._context_file: Path | None = None

    async def prepare(self) -> None:
        """Fill the folder, and know the variables that commands may use."""
        context, plan = self._context, self._plan
        await self._choose_place()
        root = context.working_dir
        await folder.put_namespace_files(context, plan.namespace_files)
        self.variables = {"workingDir": str(root)}
        if await context.render(plan.output_directory, bool):
            self._output_dir = root / f"output-{os.urandom(6).hex()}"
            self._output_dir.mkdir()
            self.variables["outputDir"] = str(self._output_dir)
        self.variables |= await self._of_runner("variables")
        if plan.output_files is not None:
            names = await context.render(plan.output_files, list[str], **self.variables) or []
            self.variables["outputFiles"] = {name: self.named(root / name) for name in names if not _GLOB.search(name)}
        if plan.input_files is not None:
            await folder.put_input_files(context, plan.input_files, **self.variables)
        if await context.render(plan.execution_context, bool):
            self._context_file = await executioncontext.write(context)

    async def _of_runner(self, what: Literal["variables", "environment"]) -> dict[str, Any]:
        """Return what a runner of a plugin says of the run, rendered."""
        runner = self._plan.runner
        if not isinstance(runner, PluginRunner):
            return {}
        given = await getattr(runner, what)(self._context)
        kind: Any = dict[str, str] if what == "environment" else dict[str, Any]
        rendered: dict[str, Any] = await self._context.render(dict(given), kind, **self.variables) or {}
        return rendered

    async def _choose_place(self) -> None:
        """Find the engine of a container; where none runs, a process of the worker takes its place."""
        runner = self._plan.runner
        if not isinstance(runner, DockerRunner):
            return
        given = await self._context.render(runner.host)
        host = given or found_host()
        if host is not None:
            try:
                async with Engine(host) as engine:
                    await engine.ping()
            except EngineUnavailable:
                if given:
                    raise
            else:
                self._host = host
                return
        self._context.log(
            "INFO", f"The task runner '{runner.type}' is not available here; the task runs as a process of the worker."
        )

    @property
    def is_elsewhere(self) -> bool:
        """True when the commands run in a container or where a plugin runs them; known when the run is prepared."""
        return self._host is not None or isinstance(self._plan.runner, PluginRunner)

    def named(self, path: Path) -> str:
        """Return how commands name a file of the folder: a plugin's runner may have the folder under another path."""
        here = isinstance(self._plan.runner, PluginRunner)
        return str(path.relative_to(self._context.working_dir)) if here else str(path)

    async def execute(self, extra: Sequence[str] = (), path: str | None = None) -> TaskResult:
        """Run the commands (and `extra` after them) and return what they leave; `prepare` comes first."""
        context, plan = self._context, self._plan
        lines = [*await self._commands(plan.commands), *extra]
        needs = await self._needs()
        before = await self._commands(plan.before)
        if needs.requirements and self.is_elsewhere:
            before.insert(0, environments.install_command(needs.requirements))
        interpreter = tuple(await context.render(plan.interpreter, list[str]) or SHELL)
        fail_fast = await context.render(plan.fail_fast, bool)
        script = _script(before, lines, fail_fast=fail_fast is not False and _is_shell(interpreter))
        try:
            code = await self._run(self._command(interpreter, script), path, needs)
        finally:
            if self._context_file is not None:
                self._context_file.unlink(missing_ok=True)
        return await self._result(code)

    async def _needs(self) -> Needs:
        """Return the packages that a script asks for, and the Python."""
        given = self._plan.dependencies
        if isinstance(given, str) and not given.lstrip().startswith(("[", "{")):
            given = [given]
        found: list[str] = await self._context.render(given, list[str], **self.variables) or []
        version = await self._context.render(self._plan.python_version, str, **self.variables)
        manager = await self._context.render(self._plan.package_manager, str, **self.variables)
        if manager and manager not in PackageManager.__members__:
            raise TaskFailed(f"'packageManager' is '{manager}'; it must be one of {', '.join(PackageManager)}.")
        return Needs(
            requirements=tuple(each.strip() for each in found if each and each.strip()),
            version=version.strip() or None if version else None,
            manager=PackageManager(manager or PackageManager.UV),
        )

    async def _run(self, command: Sequence[str], path: str | None, needs: Needs) -> int:
        context, runner = self._context, self._plan.runner
        if isinstance(runner, PluginRunner):
            return await self._elsewhere(runner, command)
        if self._host is None:
            variables = {name: value for name, value in os.environ.items() if not name.startswith(HIDDEN_PREFIXES)}
            if path is not None:
                variables["PATH"] = f"{variables.get('PATH', os.defpath)}{os.pathsep}{path}"
            if not needs:
                return await self._process(command, variables)
            is_kept = await context.render(self._plan.dependency_cache, bool) is not False
            async with environments.environment(context, needs, is_kept=is_kept) as folder:
                variables["VIRTUAL_ENV"] = str(folder)
                variables["PATH"] = f"{folder / 'bin'}{os.pathsep}{variables.get('PATH', os.defpath)}"
                return await self._process(command, variables)
        assert isinstance(runner, DockerRunner)
        image = await context.render(runner.image or self._plan.image or self._plan.default_image)
        if not image:
            raise TaskFailed("A container needs an image; name one in 'containerImage'.")
        container = Container(context, self.printed, runner, self._host)
        return await container.run(image, command, context.working_dir, await self._environment())

    async def _elsewhere(self, runner: PluginRunner, command: Sequence[str]) -> int:
        context, readers = self._context, {name: LineReader(self.printed, name) for name in ("stdout", "stderr")}
        work = Work(
            command=tuple(command),
            folder=context.working_dir,
            environment=await self._environment(),
            image=await context.render(self._plan.image or self._plan.default_image),
            output=lambda stream, data: readers[stream].feed(data),
        )
        try:
            return await runner.run(context, work)
        finally:
            for reader in readers.values():
                reader.close()

    async def _process(self, command: Sequence[str], variables: dict[str, str]) -> int:
        process = Process(self._context, self.printed)
        return await process.run(command, self._context.working_dir, variables | await self._environment())

    async def _commands(self, commands: Any) -> list[str]:
        if isinstance(commands, str) and not commands.lstrip().startswith("["):
            commands = [commands]
        rendered: list[str] = await self._context.render(commands, list[str], **self.variables) or []
        return [await self.localized(command) for command in rendered]

    async def localized(self, text: str) -> str:
        """Return a text with its storage URIs replaced by paths of copies in the folder."""
        for uri in dict.fromkeys(_URI.findall(text)):
            path = await self._context.fetch(uri)
            text = text.replace(uri, self.named(path))
        return text

    def _command(self, interpreter: Sequence[str], script: str) -> list[str]:
        if len(script.encode()) <= ARGUMENT_SIZE_MAX or not interpreter or interpreter[-1] != "-c":
            return [*interpreter, script]
        path = self._context.working_dir / f"{OWN_PREFIX}{os.urandom(6).hex()}.sh"
        path.write_text(script)
        return [*interpreter[:-1], self.named(path)]

    async def _environment(self) -> dict[str, str]:
        """Return the variables that the task itself sets."""
        environment = {name: str(self.variables[key]) for key, name in _FOLDERS.items() if key in self.variables}
        given = await self._context.render(self._plan.environment, dict[str, str], **self.variables) or {}
        given |= await self._of_runner("environment")
        return environment | {name: "" if value is None else value for name, value in given.items()}

    async def _result(self, code: int) -> TaskResult:
        printed, counts = self.printed, self.printed.line_counts
        outputs: dict[str, Any] = {
            "exitCode": code,
            "vars": printed.outputs,
            "outputFiles": {},
            "stdOutLineCount": counts["stdout"],
            "stdErrLineCount": counts["stderr"],
        }
        try:
            outputs["outputFiles"] = await self._files()
        except TiercelError as error:
            if code == 0:
                raise TaskFailed(str(error), outputs) from error
            self._context.log("WARN", str(error))
        if code != 0:
            raise TaskFailed(f"Command failed with exit code {code}", outputs)
        warned = counts["stderr"] > 0 and await self._context.render(self._plan.warning_on_stderr, bool)
        return TaskResult(outputs, State.WARNING if warned else State.SUCCESS)

    async def _files(self) -> dict[str, str]:
        plan, context = self._plan, self._context
        kept = {}
        if plan.output_files is not None:
            kept = await folder.collect_output_files(context, plan.output_files, **self.variables)
        if self._output_dir is not None:
            kept |= await folder.store_files(context, self._output_dir, ["**"])
        return kept


def _is_shell(interpreter: Sequence[str]) -> bool:
    return bool(interpreter) and Path(interpreter[0]).name in ("sh", "bash", "dash", "zsh", "ksh", "ash", "busybox")


def _script(before: Sequence[str], lines: Sequence[str], *, fail_fast: bool) -> str:
    parts = ["set -e"] if fail_fast else []
    if before:
        parts += [f"echo '{DEBUG_MARK}'", *before, f"echo '{INFO_MARK}'"]
    return "\n".join([*parts, *lines])


def found(programs: Sequence[str]) -> str:
    """Return the first of these programs that is installed, or the first."""
    return next((program for program in programs if shutil.which(program)), programs[0])


def own_python() -> str | None:
    """Return the folder of the worker's own Python when no other one is installed."""
    return None if shutil.which("python") else str(Path(sys.executable).parent)
