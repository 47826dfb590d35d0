"""
Tiercel's expression engine: Kestra's Pebble dialect, read, compiled and evaluated here.

`rendering` is the way in: an Engine for a dialect, a Renderer for a host. `analysis` tells what a text may reach
without evaluating it. Nothing in an expression ever touches an attribute or method of a Python object.
"""

from tiercel.expression.host import Absent, Expired, FileAddress, Host
from tiercel.expression.rendering import Engine, Renderer
from tiercel.expression.runtime import Limits

__all__ = ["Absent", "Engine", "Expired", "FileAddress", "Host", "Limits", "Renderer"]
