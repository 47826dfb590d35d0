"""The page of the services' own settings: what each module `settings.py` declares, with its text."""

from __future__ import annotations

import ast
import inspect
from datetime import timedelta
from enum import Enum
from typing import Any, Final

import msgspec

from tests.architecture.tree import SERVICES
from tiercel import assembly
from tiercel.model.duration import format_duration

NOTE: Final = "<!-- Drawn by `make docs` from the modules `settings.py` of the services; do not edit. -->"
INTRODUCTION: Final = """\
What is one service's own business; the defaults serve from a laptop to thousands of executions a second. How settings
are given, and those of the whole installation, is told by [settings](guides/settings.md). `worker.slots` is
`TIERCEL_WORKER_SLOTS` in the environment. Names in `_s` are seconds."""


def own(service: str) -> dict[str, str]:
    """Return the settings of a service that no setting of the installation fills, and what is said of each."""
    found = assembly.settings_class(service)
    texts = _texts(found)
    return {name: texts.get(name, "") for name in found.__struct_fields__ if name not in assembly.COMMON}


def service_settings() -> str:
    """List every setting, by service."""
    lines = ["# Settings of the services", "", NOTE, "", INTRODUCTION, ""]
    for service in SERVICES:
        defaults = {field.name: field for field in msgspec.structs.fields(assembly.settings_class(service))}
        lines += [f"## {service}", "", "| setting | default | |", "| --- | --- | --- |"]
        for name, text in own(service).items():
            written = f"`{service}.{name.replace('_', '-')}`"
            lines.append(f"| {written} | {_default(name, defaults[name])} | {text} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _texts(found: type[Any]) -> dict[str, str]:
    """Return the texts that stand under the fields of a class."""
    body = ast.parse(inspect.getsource(found)).body[0]
    assert isinstance(body, ast.ClassDef)
    texts = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str() as said)):
                texts[name] = " ".join(said.split()).replace("|", "\\|")
    return texts


def _default(name: str, field: msgspec.structs.FieldInfo) -> str:
    if field.default is msgspec.NODEFAULT:
        return "by the machine" if name == "slots" else "–"
    match field.default:
        case None | "" | ():
            return "–"
        case bool() as value:
            return str(value).lower()
        case int() as value if value >= 1 << 20 and value % (1 << 20) == 0:
            return f"{value >> 20} MiB"
        case int() as value:
            return f"{value:,}"
        case timedelta() as value:
            return format_duration(value)
        case Enum() as value:
            return str(value.value)
        case tuple() as value:
            return ", ".join(map(str, value))
        case float() as value:
            return f"{value:g}"
        case value:
            return str(value)
