"""
The one list of cases that are not tried, with reasons; `docs/compatibility.md` shows it to people.

An entry names cases by id, with `*` for any text. A case of 0.21 whose flow gives another result in 2.0 stands here
with what 2.0 says: there the newer behaviour wins.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import msgspec
import yaml

FILE = Path(__file__).with_name("left_out.yaml")


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Cases that are left out for one reason."""

    file: str
    reason: str
    cases: tuple[str, ...]


@cache
def groups() -> tuple[Group, ...]:
    """Return the list."""
    return tuple(msgspec.convert(entry, Group) for entry in yaml.safe_load(FILE.read_text("utf-8")))


def reason(case_id: str, file: str) -> str | None:
    """
    Return why a case of a file is left out, None when it is to be tried.

    Ids tell the cases of all corpora apart, so that a corpus may lie in a folder of any name.
    """
    own = file.partition("/")[2]
    for group in groups():
        if group.file.partition("/")[2] == own and any(
            fnmatch.fnmatchcase(case_id, pattern) for pattern in group.cases
        ):
            return group.reason
    return None


def compatibility(lines: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    """Yield the generated part of `docs/compatibility.md` from (file, id, why) of the cases that were left out."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for file, case_id, why in lines:
        by_reason.setdefault((file, why), []).append(case_id)
    current = ""
    for (file, why), cases in sorted(by_reason.items()):
        if file != current:
            current = file
            yield f"\n### {file}\n"
        yield f"- {why}\n  {', '.join(f'`{case}`' for case in sorted(cases))}"
