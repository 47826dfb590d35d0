"""A place where the tests of plugins run single tasks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiercel.storage.local import LocalStorage
from tiercel.worker.settings import WorkerSettings
from tiercel.worker.single import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return a bench whose storage and folders are the test's own."""
    return Bench(LocalStorage(tmp_path / "storage"), settings=WorkerSettings(temporary_folder=str(tmp_path / "tmp")))
