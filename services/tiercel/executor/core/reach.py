"""
What of the context a task's expressions can reach, found once per task from its text.

Roots that are small are always sent. `outputs` is sent task by task: those that are named, or all when an expression
can reach any (an index that is computed, a text that is rendered again).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from tiercel.executor.core.facts import Facts
from tiercel.executor.core.plan import FlowPlan, Node

ALWAYS: Final = frozenset({"flow", "execution", "taskrun", "labels", "trigger", "inputs", "parent", "parents"})
"""Roots that every job carries: they are small, or needed by functions (secret, read, currentEachOutput)."""

_OUTPUT: Final = re.compile(r"\boutputs\b\s*(?:\.\s*([A-Za-z0-9_-]+)|\[\s*(?:\"([^\"]+)\"|'([^']+)')\s*\]|)")
_OWN_BEFORE: Final = re.compile(r"currentEachOutput\(\s*$")
_OWN_AFTER: Final = re.compile(r"\s*\[\s*(?:parents?(?:\[\d+\])?\.)?taskrun\.value\s*\]")
_ANY: Final = re.compile(r"\b(printContext|fetchContext)\b")
_RENDER: Final = re.compile(r"\b(render|renderOnce)\b")


class Reach(NamedTuple):
    """
    Roots that are reached, and the tasks whose outputs are (None: any).

    Of those in `own`, only the outputs of the same iteration are reached.
    """

    roots: frozenset[str]
    outputs: frozenset[str] | None
    own: frozenset[str] = frozenset()


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
    texts = [text for text in _texts(node.document) if "{" in text]
    whole = "\n".join(texts)
    renders_again = bool(_RENDER.search(whole))
    if "vars" in whole or renders_again:
        whole += "\n" + "\n".join(_texts(plan.flow.variables))
    if _ANY.search(whole):
        return Reach(ALWAYS | {"outputs", "vars", "tasks", *_roots(plan)}, None)
    roots = set(ALWAYS)
    for root in ("vars", "tasks"):
        if re.search(rf"\b{root}\b", whole):
            roots.add(root)
    roots.update(_roots(plan))
    every = False
    outputs: set[str] = set()
    others: set[str] = set()
    for match in _OUTPUT.finditer(whole):
        roots.add("outputs")
        name = match.group(1) or match.group(2) or match.group(3)
        if name is None:
            every = True
            break
        outputs.add(name)
        if not (_OWN_BEFORE.search(whole[: match.start()]) or _OWN_AFTER.match(whole, match.end())):
            others.add(name)
    if renders_again and _renders_unknown(whole):
        roots.add("outputs")
        every = True
    if every:
        return Reach(frozenset(roots), None)
    return Reach(frozenset(roots), frozenset(outputs), frozenset(outputs - others))


def _renders_unknown(whole: str) -> bool:
    """Tell whether something other than the flow's variables is rendered again: it could name anything."""
    return bool(re.search(r"\b(?:render|renderOnce)\s*\(\s*(?!vars\b)", whole))


def _roots(plan: FlowPlan) -> frozenset[str]:
    return frozenset({"schedule"}) if plan.flow.triggers else frozenset()


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
