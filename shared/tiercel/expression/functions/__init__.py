"""All functions, by what they reach; one table per dialect."""

from __future__ import annotations

from collections.abc import Mapping

from tiercel.expression.functions import calendar, chance, crypto, data, files, outputs, remote
from tiercel.expression.signature import Function

_ALL: Mapping[str, Function] = {
    **data.FUNCTIONS,
    **chance.FUNCTIONS,
    **calendar.FUNCTIONS,
    **crypto.FUNCTIONS,
    **files.FUNCTIONS,
    **outputs.FUNCTIONS,
    **remote.FUNCTIONS,
}
# What 2.x has taken away.
_FIRST_ONLY = frozenset({"json", "currentEachOutput"})
# Under recursive rendering everything is rendered anyway, and these would double it.
_NOT_RECURSIVE = frozenset({"render", "renderOnce"})


def of(dialect: str, *, recursive: bool) -> Mapping[str, Function]:
    """Return the functions of a dialect."""
    hidden = (_FIRST_ONLY if dialect == "2.x" else frozenset()) | (_NOT_RECURSIVE if recursive else frozenset())
    return {name: function for name, function in _ALL.items() if name not in hidden}
