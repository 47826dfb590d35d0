"""
Lanes: how jobs find the workers that their author chose by tags.

A job stands in one lane. For one tag it bears its name; for several that a worker must have all of, their names in
order, joined by `+`. A worker serves the lanes of all tags that it has, and of their combinations.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Final

COMBINED_MAX: Final = 6
"""Tags of a worker whose combinations are all lanes (63); with more it serves each tag, each pair, and all together."""


def lane_of_all(tags: Iterable[str]) -> str:
    """Return the lane of jobs for workers that have all of these tags."""
    return "+".join(sorted(set(tags)))


def served(tags: Iterable[str]) -> tuple[str, ...]:
    """Return the lanes of a worker that has these tags, those of single tags first."""
    names = sorted(set(tags))
    sizes = range(2, len(names) + 1) if len(names) <= COMBINED_MAX else (2, len(names))
    together = (lane_of_all(some) for size in sizes for some in combinations(names, size))
    return tuple(dict.fromkeys((*names, *together)))
