"""`tiercel version`."""

from __future__ import annotations

import argparse

from tiercel.runtime import version


def execute(arguments: argparse.Namespace) -> int:
    """Print the versions that a report of a problem should name."""
    for name, number in version.about().items():
        print(f"{name:<10} {number}")
    return 0
