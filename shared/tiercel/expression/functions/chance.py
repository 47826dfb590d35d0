"""Functions that depend on the clock or on random numbers; both come from the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from tiercel.expression.filters.dates import DATE_ARGUMENTS, format_date
from tiercel.expression.printing import java_text
from tiercel.expression.runtime import Call
from tiercel.expression.signature import Args, Function
from tiercel.expression.values import whole
from tiercel.model import ids

_NANO_ID_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
_NANO_ID_LENGTH = 21
"""The default of NanoID: as unlikely to collide as a random UUID."""
_NANO_ID_LENGTH_MAX = 1000
"""Kestra's bound."""
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# A KSUID counts its seconds from here.
_KSUID_EPOCH_S = 1_400_000_000
_KSUID_LENGTH = 27
"""Letters that the 20 bytes of a KSUID take."""


def _now(args: Args, call: Call) -> Any:
    return format_date(call.host.now(), args, call)


def _uuid(args: Args, call: Call) -> str:
    return str(_random_uuid(call))


def _random_uuid(call: Call) -> UUID:
    return UUID(int=call.host.random.getrandbits(128), version=4)


def _id(args: Args, call: Call) -> str:
    return ids.to_text(_random_uuid(call))


def _random_int(args: Args, call: Call) -> int:
    lower, upper = (_whole(args, name, call) for name in ("lower", "upper"))
    if upper < lower:
        raise call.fail("In 'randomInt()' upper is less than lower")
    return lower if lower == upper else call.host.random.randrange(lower, upper)


def _whole(args: Args, name: str, call: Call) -> int:
    value = call.required(args, name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise call.fail(f"The 'randomInt()' function expects an argument {name} of type Long.")
    return int(value)


def _random_port(args: Args, call: Call) -> int:
    return call.host.free_port()


def _nano_id(args: Args, call: Call) -> str:
    length, alphabet = args.get("length"), args.get("alphabet")
    size = _NANO_ID_LENGTH if length is None else whole(length)
    if not 0 <= size <= _NANO_ID_LENGTH_MAX:
        raise call.fail(f"The 'nanoId()' function field 'length' must be lower than: {_NANO_ID_LENGTH_MAX}")
    letters = java_text(alphabet) if alphabet else _NANO_ID_ALPHABET
    return "".join(call.host.random.choices(letters, k=size))


def _ksuid(args: Args, call: Call) -> str:
    seconds = int(call.host.now().timestamp()) - _KSUID_EPOCH_S
    rest = (seconds << 128) | call.host.random.getrandbits(128)
    letters = []
    for _ in range(_KSUID_LENGTH):
        rest, index = divmod(rest, 62)
        letters.append(_BASE62[index])
    return "".join(reversed(letters))


FUNCTIONS: Mapping[str, Function] = {
    "id": Function(_id),
    "ksuid": Function(_ksuid),
    "nanoId": Function(_nano_id, ("length", "alphabet")),
    "now": Function(_now, DATE_ARGUMENTS),
    "randomInt": Function(_random_int, ("lower", "upper")),
    "randomPort": Function(_random_port),
    "uuid": Function(_uuid),
}
