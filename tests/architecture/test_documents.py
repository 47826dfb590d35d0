"""What documents say exists, exists: pages that they link to, targets of make, commands, settings."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path
from typing import Final

import pytest

from tests.architecture import service_settings
from tests.architecture.tree import ROOT, SERVICES
from tiercel.cli.main import parser
from tiercel.runtime import settings
from tiercel.runtime.settings import Settings

DOCUMENTS: Final = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")])
LINK: Final = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)(#[^)\s]+)?\)")
COMMAND: Final = re.compile(r"^    (?:\.venv/bin/)?(tiercel [^>#…\[]*?)\s*(?:#.*|>.*)?$", re.MULTILINE)
TARGET: Final = re.compile(r"\bmake ([a-z][a-z-]+)")
NAMED_IN_TEXT: Final = {"storage.s3.kms-key-id"}
"""Settings that stand in the text of another one's row."""
NAMES: Final = [str(path.relative_to(ROOT)) for path in DOCUMENTS]


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name: str) -> None:
    """To a file or folder of this tree, and to a heading that is there."""
    page = ROOT / name
    lost = [
        found.group(0)
        for found in LINK.finditer(page.read_text())
        if not (target := page.parent / found.group(1)).exists()
        or (found.group(2) and found.group(2)[1:] not in _anchors(target))
    ]

    assert [] == lost


@pytest.mark.parametrize("name", NAMES)
def test_every_command_is_one(name: str) -> None:
    """The command line takes it as it is written."""
    refused = [line for line in COMMAND.findall((ROOT / name).read_text()) if not _is_command(line)]

    assert [] == refused


@pytest.mark.parametrize("name", NAMES)
def test_every_target_of_make_is_one(name: str) -> None:
    """Where it stands as code: `make check`, or a line of its own."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = (ROOT / name).read_text()
    code = [*re.findall(r"`([^`\n]+)`", text), *re.findall(r"^    (.+)$", text, re.MULTILINE)]

    assert set() == {target for line in code for target in TARGET.findall(line)} - targets


def test_decisions_are_numbered_and_have_one_form() -> None:
    """`0007-title.md` is `# 7. Title`, and has a context, a decision and a consequence; no number is left out."""
    decisions = sorted((ROOT / "docs/adr").glob("*.md"))
    numbers = [int(page.name[:4]) for page in decisions]
    parts = ("**Context.**", "**Decision.**", "**Consequence.**")

    assert list(range(1, len(decisions) + 1)) == numbers
    assert [] == [page.name for page in decisions if not page.read_text().startswith(f"# {int(page.name[:4])}. ")]
    assert [] == [page.name for page in decisions if not all(part in page.read_text() for part in parts)]


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_is_explained(service: str) -> None:
    """A text under the field: the page of settings shows it."""
    assert [] == [name for name, text in service_settings.own(service).items() if not text]


def _anchors(page: Path) -> set[str]:
    """Return the names of a page's headings in addresses."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _is_command(line: str) -> bool:
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            parser().parse_args(shlex.split(line)[1:])
        except SystemExit:
            return False
    return True


def test_every_setting_of_the_installation_is_on_its_page() -> None:
    """By its full name, or behind the beginning that its row or its table names."""
    page = (ROOT / "docs/guides/settings.md").read_text()
    rows = [re.findall(r"`([^`]+)`", row.split("|")[1]) for row in page.splitlines() if row.startswith("|")]
    said = {f"{row[0].rpartition('.')[0]}{name}" if name.startswith(".") else name for row in rows for name in row}
    known = {path.replace("_", "-") for path, _ in settings.leaves(Settings)}
    services = {f"{service}.{name.replace('_', '-')}" for service in SERVICES for name in service_settings.own(service)}

    assert set() == {
        name for name in known if {name, name.removeprefix("storage.s3.")}.isdisjoint(said | NAMED_IN_TEXT)
    }
    assert set() == {
        name for name in said if "…" not in name and {name, f"storage.s3.{name}"}.isdisjoint(known | services)
    }
