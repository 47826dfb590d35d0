"""
The built-in types, one module per noun, in packages that mirror Kestra's type names.

Importing this package imports all of them, so that each registers itself; a new module needs no line here.
"""

from __future__ import annotations

import importlib
import pkgutil

for _module in pkgutil.walk_packages(__path__, f"{__name__}."):
    importlib.import_module(_module.name)
