"""
`tiercel flow test PATH…`: run suites of tests against flows, without a server.

Suites and flows come from the files and folders that are named; a flow that is missing is looked for beside its suite.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, TextIO

import msgspec
import uvloop

from tiercel import assembly
from tiercel.cli import flow, junit, options
from tiercel.cli.caserun import CaseResult, CaseRun
from tiercel.cli.suite import Suite, is_suite, read_suite
from tiercel.errors import InvalidFlow, Problem, Refused
from tiercel.flowspec.parse import check_flows
from tiercel.flowspec.yaml import Document, read_documents
from tiercel.model.flow import Flow
from tiercel.model.tenant import MAIN_TENANT
from tiercel.runtime import logging as logs
from tiercel.runtime import wiring
from tiercel.runtime.scratch import Scratch
from tiercel.runtime.settings import Settings
from tiercel.storage import uris
from tiercel.webserver import deployment
from tiercel.webserver.context import ApiContext

STARTED: Final = ("executor", "worker", "indexer")
"""No scheduler: triggers do not fire in a test. No webserver: nobody calls."""
SUFFIXES: Final = (".yaml", ".yml")
MARKS: Final = {"SUCCESS": "✔", "FAILED": "✘", "ERROR": "✘", "SKIPPED": "-"}


class SuiteResult(msgspec.Struct, frozen=True, kw_only=True):
    """A suite with what became of its cases."""

    file: str
    suite: Suite
    cases: tuple[CaseResult, ...]


class Collected:
    """Suites and flows of files."""

    def __init__(self) -> None:
        self.suites: list[tuple[str, Suite]] = []
        self.flows: dict[tuple[str, str], Flow] = {}
        self.problems: list[tuple[str, Problem]] = []

    def read(self, name: str, *, only_flows: bool = False) -> None:
        """Take what a file holds; what is wrong with it is a problem unless only flows are looked for."""
        try:
            source = flow.read(name)
            documents = read_documents(source)
        except Refused:
            if not only_flows:
                raise
            return
        except InvalidFlow as error:
            self.problems += [] if only_flows else [(name, problem) for problem in error.problems]
            return
        if not any(is_suite(document) for document in documents):
            self._flows(name, source, only_flows)
        elif not only_flows:
            for document in documents:
                self._suite(name, document)

    def _suite(self, name: str, document: Document) -> None:
        try:
            self.suites.append((name, read_suite(document)))
        except InvalidFlow as error:
            self.problems += [(name, problem) for problem in error.problems]

    def _flows(self, name: str, source: str, only_flows: bool) -> None:
        for report in check_flows(source):
            if report.flow is not None:
                self.flows.setdefault((report.flow.namespace, report.flow.id), report.flow)
            elif not only_flows:
                self.problems += [(name, problem) for problem in report.problems]

    def look_beside(self) -> None:
        """Look for the flows of suites, and for those that these call, in the folders of the suites."""
        missing = [name for name, suite in self.suites if (suite.namespace, suite.flow_id) not in self.flows]
        for folder in sorted({Path(name).parent for name in missing}):
            for path in _files([str(folder)], deep=False):
                self.read(path, only_flows=True)


def execute(arguments: argparse.Namespace) -> int:
    """Run the tests; return 0 when all succeed, 1 when one does not, 2 when they cannot be run."""
    found = Collected()
    for name in _files(arguments.paths):
        found.read(name)
    found.look_beside()
    for name, problem in found.problems:
        where = f"{problem.path}: " if problem.path else ""
        print(f"{flow.place(name, problem)}: {where}{problem.message}", file=sys.stderr)
    if found.problems:
        return 2
    if not found.suites:
        raise Refused("There is no suite of tests in what was named; a suite has 'flowId' and 'testCases'.")
    if not arguments.timeout > 0:
        raise Refused(f"A case cannot have {arguments.timeout:g} seconds; --timeout must be greater than 0.")
    results = uvloop.run(_run(arguments, found))
    if arguments.junit:
        _write(Path(arguments.junit), junit.document([(each.file, each.suite, each.cases) for each in results]))
    return 0 if all(case.result in ("SUCCESS", "SKIPPED") for each in results for case in each.cases) else 1


def _write(file: Path, document: bytes) -> None:
    try:
        file.write_bytes(document)
    except OSError as error:
        raise Refused(f"The results cannot be written to '{file}': {error.strerror}.") from error


async def _run(arguments: argparse.Namespace, found: Collected) -> list[SuiteResult]:
    results = []
    with Scratch("test") as folder:
        given: dict[str, Any] = {"queue.type": "memory", "storage.local.base-path": str(folder)}
        settings = options.read(arguments, **given)
        logs.configure(form=settings.logging.format, level="WARNING", service="test")
        async with installation(settings) as api:
            for each in found.flows.values():
                await deployment.save(api, each)
            for target, path in namespace_files(arguments.namespace_files):
                await api.storage.put(MAIN_TENANT, target, path)
            for name, suite in found.suites:
                results.append(await _suite(arguments, api, name, suite))
                show(results[-1], sys.stdout)
    cases = [case.result for each in results for case in each.cases]
    counts = {result: cases.count(result) for result in MARKS if result in cases}
    print(f"{len(cases)} cases: " + ", ".join(f"{count} {result}" for result, count in counts.items()))
    return results


@asynccontextmanager
async def installation(settings: Settings) -> AsyncIterator[ApiContext]:
    """Run what runs flows in this process until the block ends."""
    own = settings.sections.get("webserver") or assembly.settings_class("webserver")()
    async with AsyncExitStack() as stack:
        adapters = await wiring.in_memory(settings, stack)
        api = ApiContext(adapters, msgspec.structs.replace(own, **assembly.common_fields("webserver", settings)))
        stack.push_async_callback(api.close)
        for name in STARTED:
            await stack.enter_async_context(assembly.make(name, settings, adapters))
        yield api


async def _suite(arguments: argparse.Namespace, api: ApiContext, name: str, suite: Suite) -> SuiteResult:
    tested = await api.definitions.flow(MAIN_TENANT, suite.namespace, suite.flow_id)
    wanted = [case for case in suite.test_cases if not arguments.case or case.id in arguments.case]
    if tested is None:
        reason = f"The flow '{suite.namespace}.{suite.flow_id}' is in no file that was named, nor beside the suite."
        cases = [CaseResult(case=case.id, result="ERROR", reasons=(reason,)) for case in wanted]
    else:
        runner = CaseRun(api, tested, suite, arguments.timeout)
        cases = [await runner.run(case) for case in wanted]
    return SuiteResult(file=name, suite=suite, cases=tuple(cases))


def namespace_files(given: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Yield the path in internal storage and the file for each file of a `NAMESPACE=FOLDER`."""
    for each in given:
        namespace, separator, folder = each.partition("=")
        root = Path(folder)
        if not separator or not root.is_dir():
            raise Refused(f"'{each}' does not name the files of a namespace; write NAMESPACE=FOLDER.")
        for path in sorted(root.rglob("*")):
            if path.is_file():
                yield uris.namespace_file(namespace, path.relative_to(root).as_posix()), path


def _files(names: Iterable[str], *, deep: bool = True) -> Iterator[str]:
    """Yield files as they are named, and the YAML files of folders."""
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = path.rglob("*") if deep else path.glob("*")
            yield from sorted(str(each) for each in inside if each.suffix in SUFFIXES and each.is_file())
        else:
            yield name


def show(result: SuiteResult, out: TextIO) -> None:
    """Print a suite: a line for each case, and below it why it failed."""
    suite = result.suite
    print(f"{suite.namespace}.{suite.id} (flow {suite.flow_id})", file=out)
    for case in result.cases:
        about = f"the execution ended {case.state}, {case.seconds:.2f}s" if case.state is not None else case.result
        print(f"  {MARKS[case.result]} {case.case}  ({about})", file=out)
        for reason in case.reasons:
            print(f"      {reason}", file=out)
        for line in case.errors:
            print(f"      {line}", file=out)
