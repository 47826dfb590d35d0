"""
Tells what a text may reach, without evaluating it.

The executor loads only what an expression can touch, the editor marks names that cannot exist. The answer errs on
the side of more: a path stands for all that lies below it, and what cannot be known is said to be dynamic.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from tiercel.expression import functions, nodes
from tiercel.expression.statements import parse
from tiercel.expression.values import is_map, texts_in

# Stands in a path or an argument for what is only known when the expression is evaluated.
DYNAMIC: Final = "*"
# Analyses that are kept: as many as an engine keeps compiled texts.
_CACHE_SIZE = 1000
_RENDERING: Final = frozenset({"render", "renderOnce"})
_WHOLE_CONTEXT: Final = frozenset({"printContext", "fetchContext"})
# What functions read of the context by themselves.
_IMPLICIT: Final[Mapping[str, tuple[str, ...]]] = {
    "currentEachOutput": ("parents", "taskrun"),
    "env": ("envs",),
    "errorLogs": ("flow", "execution"),
    "fileExists": ("flow", "execution", "trigger"),
    "fileSize": ("flow", "execution", "trigger"),
    "fileURI": ("flow",),
    "isFileEmpty": ("flow", "execution", "trigger"),
    "iterationOutput": ("outputs", "parents", "task", "taskrun"),
    "kv": ("flow",),
    "parentOutput": ("outputs", "parent", "parents"),
    "read": ("flow", "execution", "trigger"),
    "secret": ("flow",),
    "subflow": ("flow", "taskrun", "trigger"),
    "tasksWithState": ("tasks",),
}

Path = tuple[str, ...]


class FunctionCall(msgspec.Struct, frozen=True):
    """A function an expression may call; arguments by name, DYNAMIC when they are not constant."""

    name: str
    arguments: tuple[tuple[str, Any], ...] = ()


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """What a text may reach; with `is_dynamic` it may also reach anything else."""

    paths: frozenset[Path] = frozenset()
    calls: frozenset[FunctionCall] = frozenset()
    # Values at these paths are rendered again: whoever loads them should ask for their reach, too.
    rendered: frozenset[Path] = frozenset()
    is_dynamic: bool = False

    @property
    def roots(self) -> frozenset[str]:
        """The names of the context's variables that may be read."""
        return frozenset(path[0] for path in self.paths)

    def below(self, root: str) -> frozenset[str]:
        """Return the names just below a variable that may be read; DYNAMIC when any may."""
        return frozenset(path[1] if len(path) > 1 else DYNAMIC for path in self.paths if path[0] == root)

    def called(self, name: str) -> tuple[FunctionCall, ...]:
        """Return the calls of one function."""
        return tuple(call for call in self.calls if call.name == name)


def reach(value: Any, known: Mapping[str, Any] | None = None) -> Reach:
    """
    Return what the texts in a value may reach; raise ParseFailed when one is no template.

    `known` is context that is there already, such as `{"vars": …}`: a `render()` of it is followed.
    """
    paths: set[Path] = set()
    calls: set[FunctionCall] = set()
    is_dynamic = False
    again: set[Path] = set()
    texts = [(text, False) for text in texts_in(value)]
    seen: set[tuple[str, bool]] = set()
    while texts:
        text, is_nested = texts.pop()
        if "{" not in text or (text, is_nested) in seen:
            continue
        seen.add((text, is_nested))
        own = _own(text)
        paths |= own.paths
        calls |= own.calls
        again |= own.paths if is_nested else set()
        is_dynamic = is_dynamic or own.is_dynamic
        for rendered in own.rendered:
            found = rendered if isinstance(rendered, str) else _found(rendered, known or {})
            if found is None and not isinstance(rendered, str):
                is_dynamic = True
                again.add(rendered)
            texts.extend((text, True) for text in texts_in(found))
    return Reach(paths=frozenset(paths), calls=frozenset(calls), rendered=frozenset(again), is_dynamic=is_dynamic)


def _found(path: Path, known: Mapping[str, Any]) -> Any:
    """Return the known value at a path, or None when it is not known."""
    value: Any = known
    for key in path:
        if not is_map(value) or key not in value:
            return None
        value = value[key]
    # A null renders to nothing and reaches nothing.
    return "" if value is None else value


class _Own(msgspec.Struct, frozen=True, kw_only=True):
    """What one text reaches by itself, and the paths and texts that it renders again."""

    paths: frozenset[Path]
    calls: frozenset[FunctionCall]
    rendered: tuple[Path | str, ...]
    is_dynamic: bool


@lru_cache(maxsize=_CACHE_SIZE)
def _own(text: str) -> _Own:
    walker = _Walker()
    walker.body(parse(text).body, set())
    return _Own(
        paths=frozenset(walker.paths),
        calls=frozenset(walker.calls),
        rendered=tuple(walker.rendered),
        is_dynamic=walker.is_dynamic,
    )


class _Walker:
    def __init__(self) -> None:
        self.paths: set[Path] = set()
        self.calls: set[FunctionCall] = set()
        self.rendered: list[Path | str] = []
        self.is_dynamic = False

    def body(self, body: nodes.Body, own: set[str]) -> None:
        """Walk statements; `own` are the names that the template has surely set so far."""
        for statement in body:
            self._statement(statement, own)

    def _statement(self, node: nodes.Statement, own: set[str]) -> None:
        match node:
            case nodes.Print():
                self.expression(node.expression, own)
            case nodes.Assign():
                self.expression(node.expression, own)
                own.add(node.name)
            case nodes.If():
                for condition, branch in node.branches:
                    self.expression(condition, own)
                    self.body(branch, set(own))
                self.body(node.otherwise, set(own))
            case nodes.For():
                self.expression(node.iterable, own)
                self.body(node.body, own | {node.variable, "loop"})
                self.body(node.otherwise, set(own))
            case nodes.Macro():
                for _, default in node.parameters:
                    if default is not None:
                        self.expression(default, own)
                self.body(node.body, {name for name, _ in node.parameters})
            case nodes.Block():
                # It may be called again where less is set.
                self.body(node.body, set())
            case nodes.FilterBlock():
                self.body(node.body, own)
                for _, arguments, _ in node.filters:
                    self._arguments(arguments, own)
            case _:
                pass

    def expression(self, node: nodes.Expression, own: set[str]) -> None:
        """Walk an expression."""
        match node:
            case nodes.Literal():
                pass
            case nodes.Name() | nodes.Attribute():
                self._path(node, own)
            case nodes.Call():
                self._arguments(node.arguments, own)
                self._call(node, own)
            case nodes.Filtered() | nodes.Tested() | nodes.MethodCall():
                self.expression(node.of, own)
                self._arguments(node.arguments, own)
            case nodes.Unary():
                self.expression(node.of, own)
            case _:
                for part in _parts(node):
                    self.expression(part, own)

    def _path(self, node: nodes.Expression, own: set[str]) -> None:
        path, root = _constant_path(node)
        if root is not None:
            self.expression(root, own)
        elif path[0] == nodes.CONTEXT and nodes.CONTEXT not in own:
            self.is_dynamic = True
        elif path[0] not in own:
            self.paths.add(path)
        while isinstance(node, nodes.Attribute):
            if not isinstance(node.key, nodes.Literal):
                self.expression(node.key, own)
            node = node.of

    def _arguments(self, arguments: nodes.Arguments, own: set[str]) -> None:
        for value in arguments.positional:
            self.expression(value, own)
        for _, value in arguments.named:
            self.expression(value, own)

    def _call(self, node: nodes.Call, own: set[str]) -> None:
        parameters = _parameters(node.name)
        names = [*parameters, *map(str, range(len(parameters), len(node.arguments.positional)))]
        pairs = [*zip(names, node.arguments.positional, strict=False), *node.arguments.named]
        self.calls.add(FunctionCall(node.name, tuple((name, _constant(value)) for name, value in pairs)))
        self.paths.update((root,) for root in _IMPLICIT.get(node.name, ()))
        if node.name in _WHOLE_CONTEXT:
            self.is_dynamic = True
        elif node.name in _RENDERING:
            self._render(dict(pairs).get("toRender"), own)

    def _render(self, node: nodes.Expression | None, own: set[str]) -> None:
        if isinstance(node, nodes.Literal):
            if isinstance(node.value, str):
                self.rendered.append(node.value)
            return
        path, root = _constant_path(node) if node is not None else ((), None)
        if not path or root is not None or DYNAMIC in path or path[0] in own:
            self.is_dynamic = True
        else:
            self.rendered.append(path)


def _parameters(name: str) -> tuple[str, ...]:
    function = functions.of("1.x", recursive=False).get(name)
    return () if function is None else function.parameters or ()


def _constant(node: nodes.Expression) -> Any:
    is_constant = isinstance(node, nodes.Literal) and isinstance(node.value, (str, int, float, bool, type(None)))
    return node.value if isinstance(node, nodes.Literal) and is_constant else DYNAMIC


def _constant_path(node: nodes.Expression) -> tuple[Path, nodes.Expression | None]:
    """Return the path of names down to a first key that is not constant, and the root when it is no variable."""
    keys: list[str] = []
    while isinstance(node, nodes.Attribute):
        keys.append(str(node.key.value) if isinstance(node.key, nodes.Literal) else DYNAMIC)
        node = node.of
    if not isinstance(node, nodes.Name):
        return (), node
    keys.append(node.name)
    keys.reverse()
    end = keys.index(DYNAMIC) + 1 if DYNAMIC in keys else len(keys)
    return tuple(keys[:end]), None


def _parts(node: nodes.Expression) -> tuple[nodes.Expression, ...]:
    match node:
        case nodes.Binary():
            return (node.left, node.right)
        case nodes.Joined():
            return node.parts
        case nodes.Ternary():
            return (node.condition, node.yes, node.no)
        case nodes.ListLiteral():
            return node.items
        case nodes.MapLiteral():
            return tuple(part for pair in node.pairs for part in pair)
        case _:
            raise AssertionError(f"{type(node).__name__} is not walked")
