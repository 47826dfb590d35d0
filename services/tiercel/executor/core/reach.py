"""
What of the context a task's expressions can reach, found once per task from its text.

Roots that are small are always sent. `outputs` is sent task by task: those that are named, or all when an expression
can reach any (an index that is computed, a text that is rendered again).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from tiercel.errors import ExpressionError
from tiercel.executor.core.facts import Facts
from tiercel.executor.core.plan import FlowPlan, Node
from tiercel.expression import analysis
from tiercel.expression.values import texts_in

ALWAYS: Final = frozenset({"flow", "execution", "taskrun", "labels", "trigger", "inputs", "parent", "parents", "item"})
"""Roots that every job carries: they are small, or needed by functions (secret, read, currentEachOutput)."""

_OUTPUT: Final = re.compile(r"\boutputs\s*(?:\.\s*([A-Za-z0-9_]+)|\[\s*(?:\"([^\"]+)\"|'([^']+)')\s*\])")
_OWN_BEFORE: Final = re.compile(r"currentEachOutput\(\s*$")
_OWN_AFTER: Final = re.compile(r"\s*\[\s*(?:parents?(?:\[\d+\])?\.)?taskrun\.value\s*\]")


class Reach(NamedTuple):
    """
    Roots that are reached, and the tasks whose outputs are (None: any).

    Of those in `own`, only the outputs of the same iteration are reached. `named` are the roots that the
    texts name; None when they may reach others.
    """

    roots: frozenset[str]
    outputs: frozenset[str] | None
    own: frozenset[str] = frozenset()
    named: frozenset[str] | None = None


def of(node: Node, facts: Facts) -> Reach:
    """Return what the expressions of a task (and of tasks inside its job) can reach."""
    plan = facts.plan
    assert plan is not None
    known = plan.reached
    found = known.get(node.id)
    if found is None:
        found = known[node.id] = _reach(node, plan)
    return found


def _reach(node: Node, plan: FlowPlan) -> Reach:
    try:
        found = analysis.reach(node.document, {"vars": plan.flow.variables})
    except ExpressionError:
        # One text is no template. It may be one that nobody renders, such as a description; if it is
        # rendered, the worker says what is wrong with it. The others reach what they name either way.
        found = None
    if found is None or found.is_dynamic or _is_handed_over(node.document):
        return Reach(ALWAYS | {"outputs", "vars", "tasks"} | _roots(plan), None)
    roots = ALWAYS | found.roots | _roots(plan)
    names = found.below("outputs")
    if analysis.DYNAMIC in names:
        return Reach(roots, None, named=found.roots)
    return Reach(roots, names, names - _others(node), found.roots)


def _is_handed_over(document: Any) -> bool:
    """Tell whether a script, or one within a WorkingDirectory, gets the whole context as a file."""
    if isinstance(document, Mapping):
        return document.get("executionContext") not in (None, False, "false") or any(
            _is_handed_over(each) for name, each in document.items() if name == "tasks"
        )
    return isinstance(document, list | tuple) and any(_is_handed_over(each) for each in document)


def _others(node: Node) -> frozenset[str]:
    """Return the tasks whose outputs are asked for in another way than for the iteration at hand."""
    others: set[str] = set()
    for text in texts_in(node.document):
        for match in _OUTPUT.finditer(text):
            if not (_OWN_BEFORE.search(text[: match.start()]) or _OWN_AFTER.match(text, match.end())):
                others.add(match.group(1) or match.group(2) or match.group(3))
    return frozenset(others)


def _roots(plan: FlowPlan) -> frozenset[str]:
    return frozenset({"schedule"}) if plan.flow.triggers else frozenset()
