"""
Cases of `misc.yaml`: small units of one implementation, tried where a user can see the difference.

What no user sees (Java's helpers for maps and ids, states of a queue's messages) is left out with its reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from tests.conformance import misc_api, misc_engine, misc_store, misc_tasks, misc_units
from tests.conformance.corpus import Case, Folder
from tests.conformance.deadline import deadline
from tests.conformance.result import CaseResult, judged, left_out
from tiercel.runtime.scratch import Scratch

FILE: Final = "misc.yaml"
CASE_DEADLINE_S: Final = 30.0
"""One case, of which most compute only."""
Section = Callable[[Case, Path], Awaitable[None]]

SECTIONS: Final[dict[str, Section]] = {
    "storage_uris": misc_units.storage_uri,
    "hashing": misc_units.hashing,
    "path_matching": misc_units.path_matching,
    "slugify": misc_units.slugify,
    "encryption": misc_units.encryption,
    "log_masking": misc_units.log_masking,
    "metrics": misc_units.metrics,
    "ion_files": misc_units.ion_file,
    "secrets": misc_units.secret,
    "maps": misc_units.maps,
    "ids": misc_units.identifiers,
    "file_extension": misc_units.file_extension,
    "state_store": misc_units.state_store,
    "namespace_file": misc_store.namespace_file,
    "namespace_store": misc_store.namespace_store,
    "kv_store": misc_store.kv_store,
    "flow_revisions": misc_store.flow_revisions,
    "kv_api": misc_api.kv_api,
    "dates": misc_api.dates,
    "ui_urls": misc_api.ui_url,
    "executions": misc_engine.execution,
    "join": misc_engine.join,
    "task_run_resend": misc_engine.resent,
    "subflow_result": misc_engine.subflow_result,
    "skip": misc_engine.ignored,
    "config": misc_units.configured_defaults,
    "execution_info": misc_tasks.execution_info,
    "kv_access": misc_tasks.kv_access,
    "working_dir": misc_tasks.working_dir,
    "scripts": misc_tasks.scripts,
}


def run_misc_cases(folder: Path) -> list[CaseResult]:
    """Run every case of `misc.yaml`."""
    corpus = Folder(folder)
    data = corpus.data(FILE) or {}
    results = []
    for section, bodies in data.items():
        if isinstance(bodies, list):
            results += [_run_case(section, corpus.case(FILE, body)) for body in bodies]
    return results


async def _await(run: Section, case: Case, base: Path) -> None:
    await run(case, base)


def _run_case(section: str, case: Case) -> CaseResult:
    run = SECTIONS.get(section)
    if run is None:
        return left_out(case.id, FILE, f"the runner does not know the section '{section}'", case.features)
    scratch = Scratch("misc")

    def attempt() -> None:
        with deadline(CASE_DEADLINE_S):
            asyncio.run(_await(run, case, scratch.path))

    try:
        return judged(case, attempt)
    finally:
        scratch.close()
