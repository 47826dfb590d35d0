"""Functions that encrypt and decrypt with a key that the expression names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tiercel.expression import encryption
from tiercel.expression.printing import java_text
from tiercel.expression.runtime import Call
from tiercel.expression.signature import Args, Function


def _two(args: Args, second: str, call: Call) -> tuple[str, Any]:
    if args.get("key") is None or second not in args:
        raise call.fail(f"The '{call.name}' function expects two arguments 'key' and '{second}'.")
    return java_text(args["key"]), args[second]


def _encrypt(args: Args, call: Call) -> Any:
    key, text = _two(args, "plaintext", call)
    # Not the host's random numbers: an IV that repeats after a replay would give the key away.
    return None if text is None else encryption.encrypt(key, java_text(text), os.urandom(encryption.IV_LENGTH))


def _decrypt(args: Args, call: Call) -> Any:
    key, text = _two(args, "encrypted", call)
    return None if text is None else encryption.decrypt(key, java_text(text))


FUNCTIONS: Mapping[str, Function] = {
    "decrypt": Function(_decrypt, ("key", "encrypted")),
    "encrypt": Function(_encrypt, ("key", "plaintext")),
}
