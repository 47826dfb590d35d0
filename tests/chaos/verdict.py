"""What came of a siege, and how it is told."""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

EXAMPLES: Final = 10
"""Executions that are named with each fault: enough to look one up."""


class Verdict(msgspec.Struct, kw_only=True):
    """What came of it; all lists must be empty."""

    confirmed: int = 0
    unconfirmed: int = 0
    """Executions that are there although the API never said so: its process died before it could answer."""
    kills: int = 0
    slots: int = 0
    """Dates of the schedule that have started an execution."""
    lost: list[str] = []
    """Confirmed, and not there; or a schedule's date that started nothing."""
    stuck: list[str] = []
    """Not ended."""
    doubled: list[str] = []
    """Dates of the schedule that started more than one execution."""
    wrong: list[str] = []
    """Ended otherwise than it must, or by a way that the table of states does not know."""
    unwritten: list[str] = []
    """Not, or not rightly, in the repository: in lists and logs."""

    @property
    def holds(self) -> bool:
        return not any(getattr(self, kind) for kind in KINDS)


KINDS: Final = ("lost", "stuck", "doubled", "wrong", "unwritten")


def report(verdict: Verdict) -> str:
    """Say what came of it, with the first few examples of each kind of mistake."""
    lines = [
        f"{verdict.confirmed} executions confirmed and {verdict.unconfirmed} more, {verdict.slots} dates of a schedule,"
        f" {verdict.kills} processes struck"
    ]
    for kind in KINDS:
        sentences = getattr(verdict, kind)
        lines.append(f"{kind}: {len(sentences)} {dict(Counter(each.split()[0] for each in sentences)) or ''}".rstrip())
        lines += [f"  {sentence}" for sentence in sentences[:EXAMPLES]]
    return "\n".join(lines)
