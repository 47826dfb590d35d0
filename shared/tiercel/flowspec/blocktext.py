"""
Flows as an author would write them: a flow that comes as JSON, or is written in braces, becomes a text with a line for
each property, which can be read, edited and added to.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import yaml

from tiercel.flowspec.yaml import read_documents

_BRACE: Final = "{"
_NUMERIC: Final = tuple("+-.0123456789")
"""What may begin a number in one version of YAML or another: a text that begins so is quoted."""


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else "'" if text[:1] in _NUMERIC else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def from_json(source: str) -> str:
    """Return the YAML of a flow, or of a list of flows, that is given as JSON; any other text as it is."""
    if not source.lstrip().startswith((_BRACE, "[")):
        return source
    try:
        data = msgspec.json.decode(source)
    except (msgspec.DecodeError, RecursionError):
        return source
    documents = data if isinstance(data, list) else [data]
    if not documents or not all(isinstance(each, dict) for each in documents):
        return source
    return "---\n".join(map(_dumped, documents))


def in_lines(source: str) -> str:
    """Return the text of one flow so that a line can be added to it: what is written in braces is written anew."""
    return _dumped(read_documents(source)[0].data) if source.lstrip().startswith(_BRACE) else source


def _dumped(data: Any) -> str:
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf"))
    return text
