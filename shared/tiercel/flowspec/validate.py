"""The rules of a whole flow: what no single property can say."""

from __future__ import annotations

from collections.abc import Callable

from tiercel.flowspec.findings import Findings
from tiercel.model.flow import Dialect, Flow


class Extras:
    """What validation says beside problems."""

    __slots__ = ("dialect", "warnings")

    def __init__(self, dialect: Dialect = Dialect.V2) -> None:
        self.warnings: list[str] = []
        self.dialect = dialect


def validate_flow(flow: Flow, findings: Findings, check_expression: Callable[[str], str | None] | None) -> Extras:
    """Check the rules of a flow; problems go to `findings`."""
    return Extras(flow.dialect)
