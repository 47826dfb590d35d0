"""
Tasks that run scripts and commands of a shell or a language, as processes of the worker's machine.

Importing this package imports all of its modules, so that each type registers itself.
"""

from __future__ import annotations

import importlib
import pkgutil

for _module in pkgutil.walk_packages(__path__, f"{__name__}."):
    importlib.import_module(_module.name)
