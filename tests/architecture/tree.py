"""The tree of sources, as the tests of its shape see it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
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


def packages() -> list[Path]:
    """Return every folder below the namespace that holds modules."""
    return sorted({path.parent for path in modules()} - set(SOURCE_ROOTS))


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, list[str]]]:
    """Yield each function of a module with the module's lines."""
    text = path.read_text()
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node, lines


def timed_waits(path: Path) -> list[int]:
    """Return the lines of a module that call `sleep`, `asyncio.timeout` or `asyncio.wait` with a time limit."""
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return sorted({call.lineno for call in calls if _waits_for_time(call)})


def _waits_for_time(call: ast.Call) -> bool:
    match call.func:
        case ast.Attribute(attr="sleep") | ast.Attribute(value=ast.Name(id="asyncio"), attr="timeout" | "wait_for"):
            return True
        case ast.Attribute(value=ast.Name(id="asyncio"), attr="wait"):
            return any(keyword.arg == "timeout" for keyword in call.keywords)
    return False


def is_explained(path: Path, number: int) -> bool:
    """Tell whether a line of a module ends in a comment, or has one above it."""
    lines = path.read_text().splitlines()
    return "  # " in lines[number - 1] or lines[number - 2].lstrip().startswith("# ")
