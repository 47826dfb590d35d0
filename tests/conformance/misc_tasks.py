"""Sections of `misc.yaml` about what surrounds tasks: their folder, the execution they name, scripts, namespaces."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.conformance.corpus import Case
from tests.conformance.misc_units import claim
from tests.conformance.quiet_api import quiet_api
from tests.conformance.result import LeftOut, Mismatch, only
from tests.conformance.test_plugins import SPOKEN, SpokenRunner
from tiercel.definitions.memory import MemoryDefinitions
from tiercel.errors import Conflict, NotFound, TaskFailed
from tiercel.flowspec.parse import parse_flow
from tiercel.plugins.core.apitask import execution_of
from tiercel.plugins.core.flow.workingdirectory import FileExists, NamespaceFiles
from tiercel.plugins.core.namespaces import check_exists
from tiercel.plugins.folder import files_below, inside, put_input_files, put_namespace_files
from tiercel.plugins.scripts.commands import CommandRun, Plan
from tiercel.plugins.scripts.naming import job_name, labels, normalized
from tiercel.plugins.scripts.protocol import DEBUG_MARK, INFO_MARK
from tiercel.storage.keyvalues import StorageKeyValues
from tiercel.storage.local import LocalStorage
from tiercel.storage.namespace_files import NamespaceFolder
from tiercel.storage.patterns import PathPatterns
from tiercel.worker.context import TaskContext
from tiercel.worker.settings import WorkerSettings
from tiercel.worker.single import Bench

_FLOW = "id: flow\nnamespace: {}\ntasks:\n- id: one\n  type: io.kestra.plugin.core.debug.Return\n  format: a\n"


async def execution_info(case: Case, base: Path) -> None:
    """The execution that a task's properties name."""
    context = Bench(LocalStorage(base, durable=False)).context(case.body["variables"])
    args, expected = case.body["args"], case.body["expect"]
    try:
        namespace, flow_id, execution_id = execution_of(context, args["namespace"], args["flowId"], args["executionId"])
    except TaskFailed:
        claim("error" in expected, True, "an error")
        return
    found = {"namespace": namespace, "flowId": flow_id, "executionId": execution_id}
    claim(found, expected, "the execution")


async def kv_access(case: Case, base: Path) -> None:
    """Which namespaces exist for tasks about keys."""
    storage, definitions = LocalStorage(base, durable=False), MemoryDefinitions()
    for namespace in case.body["existing_namespaces"]:
        await definitions.create(parse_flow(_FLOW.format(namespace)))
    for step in case.body.get("setup", []):
        given = step["set_kv"]
        await StorageKeyValues(storage).put(given["namespace"], given["key"], given["value"])
    bench = Bench(storage, api=quiet_api(storage, definitions))
    own = case.body.get("from") or "somewhere.else"
    expected = case.body["expect"]
    try:
        await check_exists(bench.context({"flow": {"namespace": own, "id": "f"}}), case.body["namespace"])
    except NotFound as error:
        claim(expected.get("error", {}).get("contains", "") in str(error), True, f"'{error}' as the message")
        claim("error" in expected, True, "an error")
    else:
        claim("error" in expected, False, "no error")


async def working_dir(case: Case, base: Path) -> None:
    """The folder of a run."""
    context = Bench(LocalStorage(base / "storage", durable=False), settings=_settings(base)).context({})
    folder, body = context.working_dir, case.body
    if "files" in body:
        for name in body["files"]:
            path = inside(folder, name.replace("<temp file>", "any"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
        for one in body["expect"]:
            # As `outputFiles` and `files` of tasks do: patterns are below the folder.
            patterns = PathPatterns(one["patterns"], base="/")
            claim(
                len([name for name in files_below(folder) if patterns.match(name)]), one["count"], str(one["patterns"])
            )
    elif "resolve" in body:
        for one in body["resolve"]:
            _resolve(folder, one)
    elif "same_path_twice" in str(body.get("expect")):
        claim(context.working_dir, folder, "the folder")
    elif "config" in body:
        claim(str(folder).startswith(str((base / "tmp").resolve())), True, f"{folder} is in the configured folder")
    elif "tmp_dir" in body:
        await _made_files(context, body, str((base / "tmp").resolve()))
    elif any("error" in step for step in body.get("steps", ())):
        await _made_twice(context, body)
    elif "steps" in body:
        await _made_anew(context, body)
    elif "path_ends_with" in body.get("expect", {}):
        # Who looks at a worker's disk sees by a folder's name whose it is.
        claim(folder.name.startswith(f"{context.task_run_id}-{context.attempt}-"), True, f"{folder} names its run")
    else:
        raise LeftOut("the runner does not know what is asked of the folder of a run")
    await context.close()
    claim(folder.exists(), False, "the folder exists after the run")


async def _made_files(context: TaskContext, body: Mapping[str, Any], root: str) -> None:
    """Files that a task asks for are in its folder, below the configured one: named ones, and copies without a name."""
    for step in body["steps"]:
        if "create_file" in step:
            made = (await put_input_files(context, {step["create_file"]: "text"}))[step["create_file"]]
        else:
            made = await context.fetch(await context.store("any", b"text"))
        expected = step["expect"]
        claim(str(made).startswith(root) and made.read_text() == "text", True, f"{made} is a file below {root}")
        claim(str(made).endswith(expected.get("ends_with", "")), True, f"{made} bears its name")


def _settings(base: Path) -> WorkerSettings:
    return WorkerSettings(temporary_folder=str(base / "tmp"))


async def _made_twice(context: TaskContext, body: Mapping[str, Any]) -> None:
    """A file of a namespace does not take the place of one that is there, when a task says FAIL."""
    names = {step["create_file"] for step in body["steps"]}
    source = NamespaceFolder(context.storage, context.tenant_id, context.namespace)
    for name in names:
        await source.put(name, b"text")
    files = NamespaceFiles(enabled=True, if_exists=FileExists.FAIL)
    for step in body["steps"]:
        try:
            made = await put_namespace_files(context, files)
        except Conflict:
            claim("error" in step, True, "an error")
        else:
            claim(made, [step["create_file"]], "the files")
            claim("error" in step, False, "no error")


async def _made_anew(context: TaskContext, body: Mapping[str, Any]) -> None:
    """A folder that was removed is made again, under its name, by whoever asks for it."""
    folder = context.working_dir
    for step in body["steps"]:
        if "create_file" in step:
            await put_input_files(context, {step["create_file"]: "text"})
            claim(list(files_below(folder)), [step["create_file"]], "the files")
        elif "cleanup" in step:
            await context.close()
            claim(folder.exists(), step["expect"]["dir_exists"], "the folder is there")
        else:
            claim((context.working_dir == folder), step["expect"]["same_path"], "the folder is the same")
            claim(folder.exists(), step["expect"]["dir_exists"], "the folder is there")


def _resolve(folder: Path, one: Mapping[str, Any]) -> None:
    try:
        found = folder if one["path"] is None else inside(folder, one["path"])
    except TaskFailed:
        claim("error" in one, True, f"an error for {one['path']}")
    else:
        claim(str(found), one["expect"].replace("<wd>", str(folder)), one["path"])


async def scripts(case: Case, base: Path) -> None:
    """Commands of scripts: storage URIs in them become paths, and one text is what the interpreter gets."""
    body, operation = case.body, case.body["operation"]
    storage = LocalStorage(base / "storage", durable=False)
    bench = Bench(storage, settings=_settings(base))
    context = bench.context({})
    for step in body.get("setup", []):
        if "put_file" in step:
            await storage.put("main", "/" + step["put_file"]["path"].removeprefix("kestra://"), b"")
    if operation.startswith("replace_internal_storage"):
        # Who runs commands elsewhere is told paths that hold wherever the folder is.
        runner = SpokenRunner(type=SPOKEN, vars={}, env={}, said={}) if body.get("relative") else None
        run = CommandRun(context, Plan(commands=body["input"], runner=runner))
        run.variables = body.get("variables", {})
        given = body["input"] if isinstance(body["input"], list) else [body["input"] or ""]
        wanted = body["expect"] if isinstance(body["expect"], list) else [body["expect"]]
        for text, expected in zip(await run._commands(given), wanted, strict=True):
            _check_text(text, expected, context.working_dir)
    elif operation in _OPERATIONS:
        await _OPERATIONS[operation](case, bench, base)
    else:
        raise LeftOut(f"the runner does not know the operation '{operation}' of scripts")
    await context.close()


async def _normalize(case: Case, bench: Bench, base: Path) -> None:
    given, expected = case.body["input"], case.body["expect"]
    claim(None if given is None else normalized(given), expected, "the value of a label")


def _named(case: Case, bench: Bench) -> TaskContext:
    given = case.body["context"]
    return bench.context(
        {
            "flow": {"namespace": given["namespace"], "id": given["flowId"]},
            "task": {"id": given["taskId"]},
            "execution": {"id": given["executionId"]},
            "taskrun": {"id": given["taskRunId"]},
        }
    )


async def _labels(case: Case, bench: Bench, base: Path) -> None:
    args, expected = case.body["args"], case.body["expect"]
    only(args, ("prefix", "normalize", "lowercase"), "the argument of labels")
    found = labels(_named(case, bench), prefix=args.get("prefix") or "", lowercase=args.get("lowercase", False))
    claim(len(found), expected["size"], "the number of labels")
    claim(found, expected["equals"], "the labels")


async def _job_name(case: Case, bench: Bench, base: Path) -> None:
    """The name of a container is shown by its engine."""
    expected, found = case.body["expect"], job_name(_named(case, bench))
    only(expected, ("starts_with", "length"), "the claim on a name")
    claim(found.startswith(expected.get("starts_with", "")), True, f"{found} starts as it must")
    claim(len(found), expected.get("length", len(found)), f"the length of {found}")


_MARKS = (f"echo '{DEBUG_MARK}'", f"echo '{INFO_MARK}'")


async def _script_commands(case: Case, bench: Bench, base: Path) -> None:
    """An interpreter that writes down its argument shows what it was given, beside marks of the log."""
    args, expected = case.body["args"], case.body["expect"]
    shown = base / "arguments"
    interpreter = base / args["interpreter"][0]
    interpreter.write_text(f"#!/bin/sh\nprintf '%s' \"$#:$1\" > '{shown}'\n")
    interpreter.chmod(0o755)
    plan = Plan(commands=args["commands"], before=args["before"], interpreter=[str(interpreter)])
    run = CommandRun(bench.context({}), plan)
    await run.prepare()
    await run.execute()
    count, _, script = shown.read_text().partition(":")
    lines = [line for line in script.splitlines() if line not in _MARKS]
    claim([interpreter.name, "\n".join(lines)], expected, "what was run")
    claim(int(count), 1, "the number of arguments")


async def _upload_output_files(case: Case, bench: Bench, base: Path) -> None:
    """A script writes into its output folder; the files there are stored."""
    names = [step["output_dir_file"] for step in case.body["setup"]]
    context = bench.context({})
    run = CommandRun(
        context, Plan(commands=[f"touch {{{{ outputDir }}}}/{name}" for name in names], output_directory=True)
    )
    await run.prepare()
    result = await run.execute()
    for name, uri in case.body["expect"]["has"].items():
        stored = result.outputs["outputFiles"][name]
        place = uri.removeprefix("kestra:///")
        claim(stored.startswith("kestra:///") and stored.endswith(place), True, f"{stored} is the place of {name}")
        claim(await context.storage.exists("main", stored), True, f"{stored} exists")


async def _vars_and_env(case: Case, bench: Bench, base: Path) -> None:
    """What a runner of a plugin says wins over what the commands have; commands and their process show both."""
    given, expected = case.body["given"], case.body["expect"]
    only(expected, ("vars", "env"), "the claim on a run")
    known = bench.context(given["variables"])
    own = await known.render(given.get("commands_vars") or {}, dict[str, Any])
    context = bench.context(given["variables"] | own)
    runner = SpokenRunner(
        type=SPOKEN, vars=given.get("runner_vars") or {}, env=given.get("runner_env") or {}, said=(said := {})
    )
    lines = [f"echo '{{{{ {name} }}}}'" for name in expected.get("vars", {})]
    run = CommandRun(
        context, Plan(commands=lines, environment=given.get("commands_env"), runner=runner, fail_fast=False)
    )
    await run.prepare()
    await run.execute()
    shown = [line.removeprefix("echo '").removesuffix("'") for line in said["command"][-1].splitlines()]
    claim(dict(zip(expected.get("vars", {}), shown, strict=True)), expected.get("vars", {}), "what commands see")
    for name, value in expected.get("env", {}).items():
        claim(said["environment"].get(name), value, f"the variable {name} of the process")
    await known.close()
    await context.close()


_OPERATIONS = {
    "additional_vars_and_env": _vars_and_env,
    "normalize": _normalize,
    "labels": _labels,
    "job_name": _job_name,
    "script_commands": _script_commands,
    "upload_output_files": _upload_output_files,
}


def _check_text(text: str, expected: Any, folder: Path) -> None:
    if isinstance(expected, str):
        claim(text, expected, "the command")
        return
    known = ("matches", "group_1_is_existing_file", "group_1_not_starts_with", "group_1_exists_in_working_dir")
    only(expected, known, "the claim on a command")
    found = re.fullmatch(expected["matches"], text)
    if found is None or not (folder / found[1]).is_file():
        raise Mismatch(f"'{text}' names no file")
    if "group_1_not_starts_with" in expected and found[1].startswith(expected["group_1_not_starts_with"]):
        raise Mismatch(f"'{found[1]}' starts with '{expected['group_1_not_starts_with']}'")
