"""
The registry of task, trigger and condition types: type name or alias -> class.

Built-in types register with the decorator when `tiercel.plugins.core` and `tiercel.plugins.scripts` are imported;
others come by the entry-point group `tiercel.plugins`, whose entries are modules that do the same.
"""

from __future__ import annotations

import difflib
import importlib
import logging
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, Final, TypeVar

log = logging.getLogger(__name__)

GROUP: Final = "tiercel.plugins"
"""The entry-point group: each entry is a module whose import registers types."""
C = TypeVar("C", bound=type[Any])


class PluginRegistry:
    """Finds the class of a type name."""

    def __init__(self) -> None:
        self._classes: dict[str, type[Any]] = {}
        self._aliases: dict[str, str] = {}
        self._loaded = False

    def register(self, name: str, *aliases: str) -> Callable[[C], C]:
        """Decorate a class as the one of this type name and its older names."""

        def decorate(cls: C) -> C:
            self._classes[name] = cls
            for alias in aliases:
                self._aliases[alias] = name
            return cls

        return decorate

    def load(self) -> None:
        """Import the built-in types and those of installed packages, once."""
        if not self._loaded:
            self._loaded = True
            importlib.import_module("tiercel.plugins.core")
            importlib.import_module("tiercel.plugins.scripts")
            for entry in entry_points(group=GROUP):
                try:
                    entry.load()
                except Exception:  # another author's code: it must not keep everybody else's flows from running
                    log.exception(
                        "the plugin '%s' (%s) cannot be loaded; its types are unknown",
                        entry.name,
                        entry.value,
                        extra={"action": "plugin_failed", "plugin": entry.name},
                    )

    def find(self, name: str) -> type[Any] | None:
        """Return the class of a type name or alias, None when it is unknown."""
        self.load()
        return self._classes.get(self._aliases.get(name, name))

    def canonical(self, name: str) -> str:
        """Return the type name that an alias stands for; any other name stays."""
        self.load()
        return self._aliases.get(name, name)

    def aliases_of(self, name: str) -> tuple[str, ...]:
        """Return the older names of a type."""
        self.load()
        return tuple(alias for alias, real in self._aliases.items() if real == name)

    def names(self) -> tuple[str, ...]:
        """Return all type names, without aliases."""
        self.load()
        return tuple(sorted(self._classes))

    def nearest(self, name: str) -> str | None:
        """Return the known type name whose last part looks most like that of this one, then the whole most like it."""
        self.load()
        simple: dict[str, list[str]] = {}
        for known in self._classes:
            simple.setdefault(known.rpartition(".")[2], []).append(known)
        close = difflib.get_close_matches(name.rpartition(".")[2], simple, n=3, cutoff=0.6)
        candidates = [known for last in close for known in simple[last]]
        found = difflib.get_close_matches(name, candidates, n=1, cutoff=0.6)
        return found[0] if found else None


REGISTRY = PluginRegistry()
register = REGISTRY.register
