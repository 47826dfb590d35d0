"""
A corpus folder: its data files as they are, with the few rules of reading them.

Dates stay text (as the author of a case wrote them), every file may be missing, and a file that another one names by
`file.yaml#key.key` is found here.
"""

from __future__ import annotations

import os
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import msgspec
import yaml

from tests.conformance.paths import walk

ROOT = Path(__file__).resolve().parents[2]
VARIABLE = "TIERCEL_CONFORMANCE"


class _Loader(yaml.CSafeLoader):
    """Reads YAML 1.1 but for dates, which stay text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


@cache
def read_yaml(path: Path) -> Any:
    """Return a file's data, None when there is no such file."""
    if not path.exists():
        return None
    with path.open("rb") as stream:
        return yaml.load(stream, Loader=_Loader)


class MissingFile(Exception):
    """A case names a file that its corpus does not have; the message gives its path."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One case of a file, with what every case has."""

    id: str
    folder: Path
    file: str
    features: tuple[str, ...]
    body: dict[str, Any]

    @property
    def is_of_2(self) -> bool:
        """Tell whether this is a case of Kestra 2.0."""
        return self.id.startswith("v2.")

    @property
    def where(self) -> str:
        """The file with its folder's own name, as the report names it."""
        return f"{self.folder.name}/{self.file}"


class Folder:
    """One corpus."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name

    def data(self, file: str) -> Any:
        """Return a file's data, None when it is missing."""
        return read_yaml(self.path / file)

    def cases(self, file: str, key: str = "cases") -> list[Case]:
        """Return the cases of a file under a key, in order."""
        data = self.data(file) or {}
        return [self.case(file, body) for body in data.get(key) or ()]

    def case(self, file: str, body: dict[str, Any]) -> Case:
        """Make a case of its data."""
        features = tuple(body.get("features") or ())
        return Case(id=str(body["id"]), folder=self.path, file=file, features=features, body=body)

    def reference(self, text: str) -> Any:
        """Return what `file.yaml#key.key` names."""
        file, _, path = text.partition("#")
        return walk(self.data(file), path)

    def text(self, path: str) -> str:
        """Return a file's text."""
        return self.content(path).decode()

    def content(self, path: str) -> bytes:
        """Return a file's content; raise MissingFile when there is no such file."""
        try:
            return (self.path / path).read_bytes()
        except FileNotFoundError:
            raise MissingFile(f"the corpus has no file '{path}'") from None

    @cached_property
    def test_plugins(self) -> dict[str, dict[str, Any]]:
        """The test-only plugins by name."""
        data = self.data("test_plugins.yaml") or {}
        return {plugin["name"]: plugin for plugin in data.get("plugins", [])}


def folders(given: list[str] | None = None) -> list[Folder]:
    """Return the corpora to run: those given, else those that the environment names, else the default ones."""
    names = given or [name for name in os.environ.get(VARIABLE, "").split(":") if name]
    if not names:
        shared = ROOT.parent / "shared"
        names = [str(shared / "conformance"), str(shared / "conformance-2.0")]
    return [Folder(Path(name).resolve()) for name in names if Path(name).is_dir()]
