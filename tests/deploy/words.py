"""What `deploy/` says about processes, compared with what they understand: commands, settings, metrics, paths."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import yaml

from tests.architecture import metrics
from tests.architecture.tree import ROOT
from tiercel import assembly
from tiercel.cli.main import SERVICES, parser
from tiercel.runtime import settings
from tiercel.runtime.settings import Settings

DEPLOY: Final = ROOT / "deploy"
SUFFIXES: Final = ("_bucket", "_count", "_sum")
_METRIC: Final = re.compile(r"\btiercel_\w+")


def service_of(command: Sequence[str]) -> str | None:
    """Return which service a command line of `tiercel` starts, None for other commands; fail when it is none at all."""
    arguments = parser().parse_args(list(command))
    return str(arguments.service) if arguments.command == "server" else None


def settings_of(environment: Mapping[str, str], text: str = "") -> Settings:
    """Return the settings that these variables and this file make; fail when one of them is no setting."""
    variables = {**environment, **({"TIERCEL_CONFIGURATION": text} if text else {})}
    read = settings.load(environment=variables, sections={name: assembly.settings_class(name) for name in SERVICES})
    assert () == read.warnings
    return read


def metrics_in(texts: Iterable[str]) -> set[str]:
    """Return the names of our metrics that queries use."""
    return {name for text in texts for name in _METRIC.findall(text)}


def exported() -> set[str]:
    """Return the names under which Prometheus knows our metrics."""
    names = set()
    for module in metrics.modules():
        for metric in metrics.declared(module):
            name = metrics.names_of(metric)
            names |= {name, *(f"{name}{suffix}" for suffix in SUFFIXES)}
    return names


def alert_queries() -> dict[str, str]:
    """Return the query of each alert."""
    rules = yaml.safe_load((DEPLOY / "observability" / "alerts.yaml").read_text())
    return {rule["alert"]: rule["expr"] for group in rules["groups"] for rule in group["rules"]}
