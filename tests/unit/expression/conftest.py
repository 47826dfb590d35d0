"""A renderer on a host in memory, in either dialect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.expression_world import World
from tiercel.expression import Engine, Renderer

Render = Callable[..., str]


def renderer(dialect: str = "1.x", **options: Any) -> Renderer:
    """Return a renderer whose host is empty."""
    world = World(Path(), {}, {}, dialect)
    return Renderer(Engine(dialect="2.x" if dialect == "2.x" else "1.x", **options), world)


@pytest.fixture
def render() -> Render:
    """Render a text in the first dialect; the context is given by name."""
    own = renderer()
    return lambda text, **context: own.render(text, context)


@pytest.fixture
def render_second() -> Render:
    """Render a text in the second dialect."""
    own = renderer("2.x")
    return lambda text, **context: own.render(text, context)
