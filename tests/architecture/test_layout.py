"""The shape of the tree: a newcomer finds what is where, and each module fits in the head."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib import metadata
from typing import Final

from tests.architecture import tree

MODULE_LINES_MAX: Final = 400
"""What fits in the head."""
FUNCTION_LINES_MAX: Final = 70
"""What fits on a screen."""
BAD_NAMES: Final = frozenset({"utils", "util", "helpers", "helper", "common", "manager", "base_service"})
UNREASONED: Final = re.compile(
    r"(except \(?(Base)?Exception\b[^#]*:|# type: ignore(\[[\w, -]+\])?|# noqa(: ?[A-Z]+\d+)?)\s*$"
)


def test_the_namespace_has_no_init_module() -> None:
    """`tiercel` is a namespace over two roots: a module `__init__` in one would hide the other."""
    assert [] == [tree.short(root) for root in tree.SOURCE_ROOTS if (root / "__init__.py").exists()]


def test_no_package_name_is_in_both_roots() -> None:
    """A package is shared or a service's own, never half of each."""
    shared, services = ({path.name for path in root.iterdir() if path.is_dir()} for root in tree.SOURCE_ROOTS)

    assert set() == (shared & services) - {"__pycache__"}


def test_every_package_is_typed_and_introduces_itself() -> None:
    """`py.typed`, and an `__init__` with a docstring."""
    untyped = [tree.short(package) for package in tree.packages() if not (package / "py.typed").exists()]
    silent = [tree.short(package) for package in tree.packages() if not (package / "__init__.py").exists()]

    assert ([], []) == (untyped, silent)


def test_every_module_says_why_it_exists() -> None:
    """A module opens with a docstring."""
    assert [] == [tree.short(path) for path in tree.modules() if not ast.get_docstring(ast.parse(path.read_text()))]


def test_every_method_of_a_port_says_what_is_promised() -> None:
    """An adapter's docstring may be short, because its port's is not: a port is a Protocol in a module `base`."""
    ports = [path for path in tree.modules() if path.name == "base.py"]

    silent = [f"{tree.short(path)}:{line}" for path in ports for line in tree.silent_promises(path)]

    assert [] == silent


def test_every_service_opens_with_its_card() -> None:
    """IN, OUT, OWNS and NEVER, in the service's package."""
    packages = [tree.SOURCE_ROOTS[1] / name for name in tree.SERVICES]

    cards = {package.name: ast.get_docstring(ast.parse((package / "__init__.py").read_text())) for package in packages}

    missing = {
        name: [word for word in ("IN ", "OUT ", "OWNS ", "NEVER ") if word not in (card or "")]
        for name, card in cards.items()
    }
    assert {name: [] for name in tree.SERVICES} == missing


def test_no_module_is_longer_than_it_may_be() -> None:
    """A module fits in the head; what does not is split by noun."""
    paths = (*tree.modules(), *tree.tools(), *tree.tests())
    lengths = {tree.short(path): len(path.read_text().splitlines()) for path in paths}

    assert {} == {name: length for name, length in lengths.items() if length > MODULE_LINES_MAX}


def test_no_function_is_longer_than_a_screen() -> None:
    """Seventy lines; what does not fit is several functions."""
    lengths = {
        f"{tree.short(path)}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path in (*tree.modules(), *tree.tools(), *tree.tests())
        for node in tree.functions(path)
    }

    assert {} == {name: length for name, length in lengths.items() if length > FUNCTION_LINES_MAX}


def test_no_module_has_a_name_that_says_nothing() -> None:
    """What has no name has no place yet."""
    assert [] == [tree.short(path) for path in tree.modules() if path.stem in BAD_NAMES]


def test_no_work_is_left_behind_in_comments() -> None:
    """No TODO, no FIXME: what is not done is in the documents."""
    marks = ("TODO", "FIXME")

    assert [] == [tree.short(path) for path in tree.modules() if any(mark in path.read_text() for mark in marks)]


def test_every_wait_for_time_gives_its_reason() -> None:
    """Who sleeps, or sets a time limit, says on that line or above it why nothing better can be awaited."""
    silent = [
        f"{tree.short(path)}:{number}"
        for path in (*tree.modules(), *tree.tools())
        for number in tree.timed_waits(path)
        if not tree.is_explained(path, number)
    ]

    assert [] == silent


def test_every_sleep_of_a_test_gives_its_reason() -> None:
    """Nothing sleeps to wait; what sleeps at all says on that line or above it what for."""
    silent = [
        f"{tree.short(path)}:{number}"
        for path in tree.tests()
        for number in tree.sleeps(path)
        if not tree.is_explained(path, number)
    ]

    assert [] == silent


def test_an_assertion_names_first_what_is_expected() -> None:
    """`assert expected == actual`, everywhere: who reads a failure knows which side is which."""
    turned = [f"{tree.short(path)}:{line}" for path in tree.tests() for line in tree.turned_assertions(path)]

    assert [] == turned


def test_every_exception_to_a_rule_gives_its_reason() -> None:
    """Who catches everything, or silences a checker, says why on the same line."""
    silent = [
        f"{tree.short(path)}:{number}"
        for path in (*tree.modules(), *tree.tools(), *tree.tests())
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if UNREASONED.search(line)
    ]

    assert [] == silent


def test_every_number_gives_its_reason() -> None:
    """A constant that is a number says what it bounds, in a text below it or a comment; so does a pair of them."""
    silent = [
        f"{tree.short(path)}:{line}"
        for path in (*tree.modules(), *tree.tools())
        for line in tree.unexplained_numbers(path)
    ]

    assert [] == silent


def test_every_dependency_is_used() -> None:
    """Some module imports it, or names it in a text (a server's parser, a package of data)."""
    project = tomllib.loads((tree.ROOT / "pyproject.toml").read_text())["project"]
    names = {_normal(re.split(r"[<>=\[~!]", text)[0]) for text in project["dependencies"]}
    brought = {name: [m for m, owners in metadata.packages_distributions().items() if name in map(_normal, owners)]
               for name in names}  # fmt: skip
    used = {name for path in tree.modules() for name in tree.named_packages(path)}

    assert [] == sorted(name for name, modules in brought.items() if not used.intersection(modules))


def test_no_definition_stands_twice() -> None:
    """A name of a module has one value, and no statement repeats the one above it: a merge leaves such behind."""
    assert [] == [f"{tree.short(path)}:{line}" for path in tree.modules() for line in tree.repeated(path)]


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
