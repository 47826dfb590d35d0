"""The tree of sources, as the tests of its shape see it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SOURCE_ROOTS: Final = (ROOT / "shared" / "tiercel", ROOT / "services" / "tiercel")
SERVICES: Final = ("executor", "indexer", "scheduler", "webserver", "worker")


def modules() -> list[Path]:
    """Return every Python module of the product."""
    return sorted(path for root in SOURCE_ROOTS for path in root.rglob("*.py"))


def tools() -> list[Path]:
    """Return every Python module that is in the tree beside the product."""
    return sorted(path for name in ("backing", "bench", "demo") for path in (ROOT / name).rglob("*.py"))


def tests() -> list[Path]:
    """Return every Python module below `tests`."""
    return sorted((ROOT / "tests").rglob("*.py"))


def packages() -> list[Path]:
    """Return every folder below the namespace that holds modules."""
    return sorted({path.parent for path in modules()} - set(SOURCE_ROOTS))


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield each function of a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def named_packages(path: Path) -> set[str]:
    """Return the top-level packages that a module imports, and all its texts, which may name one."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import():
                names |= {alias.name.partition(".")[0] for alias in node.names}
            case ast.ImportFrom(module=str(module)):
                names.add(module.partition(".")[0])
            case ast.Constant(value=str(text)):
                names.add(text)
    return names


def repeated(path: Path) -> list[int]:
    """Return the lines of statements that repeat the one above them, and of constants that were there already."""
    module = ast.parse(path.read_text())
    found = []
    for node in ast.walk(module):
        for block in (getattr(node, name, None) for name in ("body", "orelse", "finalbody")):
            if isinstance(block, list):
                found += [two.lineno for one, two in pairwise(block) if ast.dump(one) == ast.dump(two)]
    known: set[str] = set()
    for statement in module.body:
        if isinstance(statement, ast.AnnAssign | ast.Assign):
            target = statement.target if isinstance(statement, ast.AnnAssign) else statement.targets[0]
            name = ast.unparse(target)
            found += [statement.lineno] if name in known else []
            known.add(name)
    return found


def turned_assertions(path: Path) -> list[int]:
    """Return the lines of a module's assertions whose literal value stands last."""
    literal = (ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Set)
    return [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assert)
        and isinstance(node.test, ast.Compare)
        and isinstance(node.test.ops[0], ast.Eq)
        and isinstance(node.test.comparators[0], literal)
        and not isinstance(node.test.left, (*literal, ast.BinOp, ast.Name))
    ]


def silent_promises(path: Path) -> list[int]:
    """Return the lines of methods of Protocols in a module that have no docstring."""
    return [
        member.lineno
        for statement in ast.parse(path.read_text()).body
        if isinstance(statement, ast.ClassDef) and "Protocol" in map(ast.unparse, statement.bases)
        for member in statement.body
        if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef) and not ast.get_docstring(member)
    ]


def unexplained_numbers(path: Path) -> list[int]:
    """Return the lines of a module's constants that are numbers and have neither a text below nor a comment."""
    found: list[int] = []
    explained_at: int | None = None
    for statement, following in reversed(list(pairwise([*ast.parse(path.read_text()).body, None]))):
        if not isinstance(statement, ast.AnnAssign | ast.Assign) or not _is_number(statement.value):
            continue
        is_explained_here = _is_text(following) or is_explained(path, statement.lineno)
        if is_explained_here or explained_at == statement.lineno + 1:
            explained_at = statement.lineno
        else:
            found.append(statement.lineno)
    return sorted(found)


def _is_text(statement: ast.stmt | None) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_number(value: ast.expr | None) -> bool:
    """Tell whether a value is a number or a duration, written out or computed from such."""
    match value:
        case ast.Constant(value=number):
            return isinstance(number, int | float) and not isinstance(number, bool)
        case ast.BinOp(left=left, right=right):
            return _is_number(left) and _is_number(right)
        case ast.UnaryOp(operand=operand):
            return _is_number(operand)
        case ast.Call(func=ast.Name(id="timedelta"), keywords=keywords):
            return all(_is_number(keyword.value) for keyword in keywords)
    return False


def timed_waits(path: Path) -> list[int]:
    """Return the lines of a module that sleep, or set a time limit to something."""
    return sorted({call.lineno for call in _calls(path) if _is_sleep(call) or _is_limit(call)})


def sleeps(path: Path) -> list[int]:
    """Return the lines of a module that sleep, or let others have their turn."""
    return sorted({call.lineno for call in _calls(path) if _is_sleep(call)})


def _calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


def _is_sleep(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr == "sleep"


def _is_limit(call: ast.Call) -> bool:
    match call.func:
        case ast.Attribute(value=ast.Name(id="asyncio"), attr="timeout" | "wait_for"):
            return True
        case ast.Attribute(value=ast.Name(id="asyncio"), attr="wait"):
            return any(keyword.arg == "timeout" for keyword in call.keywords)
    return False


def is_explained(path: Path, number: int) -> bool:
    """Tell whether a line of a module ends in a comment, or has one above it."""
    lines = path.read_text().splitlines()
    return "  # " in lines[number - 1] or lines[number - 2].lstrip().startswith("# ")
