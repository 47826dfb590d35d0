"""
How long a test waits for what must come.

It costs nothing when it comes. On a machine that is slow, or stands still for a while, nobody may give up before.
"""

from __future__ import annotations

from typing import Final

PATIENCE_S: Final = 60.0
