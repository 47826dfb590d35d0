"""
Sets of small numbers as ranges: which iterations of a wide loop have ended, failed or paused.

Iterations end nearly in the order in which they began, so that a few ranges tell of a hundred thousand of them. A set
is a sorted list of `[first, beyond]`, a plain value that is saved with the loop's counters.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

Ranges = list[list[int]]
"""Sorted, disjoint and not adjacent: `[[0, 3], [7, 8]]` holds 0, 1, 2 and 7."""


def has(ranges: Ranges, number: int) -> bool:
    """Tell whether the set holds a number."""
    place = _place(ranges, number)
    return place >= 0 and number < ranges[place][1]


def add(ranges: Ranges, number: int) -> Ranges:
    """Return the set with a number more."""
    if has(ranges, number):
        return ranges
    place = _place(ranges, number)
    before = ranges[: place + 1]
    after = ranges[place + 1 :]
    first, beyond = number, number + 1
    if before and before[-1][1] == number:
        first = before.pop()[0]
    if after and after[0][0] == beyond:
        beyond = after[0][1]
        after = after[1:]
    return [*before, [first, beyond], *after]


def remove(ranges: Ranges, number: int) -> Ranges:
    """Return the set without a number."""
    if not has(ranges, number):
        return ranges
    place = _place(ranges, number)
    first, beyond = ranges[place]
    left = [[first, number]] if first < number else []
    right = [[number + 1, beyond]] if number + 1 < beyond else []
    return [*ranges[:place], *left, *right, *ranges[place + 1 :]]


def without(ranges: Ranges, other: Ranges) -> Ranges:
    """Return the numbers of the first set that are not in the second."""
    result: Ranges = []
    for first, beyond in ranges:
        at = first
        for low, high in other:
            if high <= at or low >= beyond:
                continue
            if low > at:
                result.append([at, low])
            at = max(at, high)
        if at < beyond:
            result.append([at, beyond])
    return result


def size(ranges: Ranges) -> int:
    """Return how many numbers the set holds."""
    return sum(beyond - first for first, beyond in ranges)


def smallest(ranges: Ranges) -> int | None:
    """Return the smallest number of the set."""
    return ranges[0][0] if ranges else None


def members(ranges: Ranges) -> Iterator[int]:
    """Yield the numbers of the set, in order."""
    for first, beyond in ranges:
        yield from range(first, beyond)


def gaps(ranges: Ranges, first: int, beyond: int) -> Iterator[int]:
    """Yield the numbers from `first` up to `beyond` that the set does not hold."""
    for low, high in without([[first, beyond]] if first < beyond else [], ranges):
        yield from range(low, high)


def _place(ranges: Ranges, number: int) -> int:
    """Return the place of the last range that begins at the number or before it, -1 when none does."""
    return bisect_right(ranges, number, key=lambda entry: entry[0]) - 1
