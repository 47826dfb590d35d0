"""A child that ends with its parent, however that ends: Linux tells it by a signal."""

from __future__ import annotations

import ctypes
import signal
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
"""Its number in <linux/prctl.h>."""
_libc = ctypes.CDLL(None, use_errno=True)  # loaded before any fork: a child must not wait for a lock of the loader


def end_with_parent(number: signal.Signals = signal.SIGKILL) -> None:
    """
    Have the kernel send this process a signal when the *thread* that forked it ends.

    To be called in the child, between fork and exec; a parent that has died before is told by nobody.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
