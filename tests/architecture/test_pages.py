"""Generated pages are up to date."""

from __future__ import annotations

import pytest

from tests.architecture.pages import PAGES
from tests.architecture.tree import ROOT


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_what_the_code_says(name: str) -> None:
    """When it is not: `make docs`."""
    assert PAGES[name]() == (ROOT / name).read_text()
