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
