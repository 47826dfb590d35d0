"""What containers are called."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tiercel.plugins.scripts.naming import job_name, labels
from tiercel.storage.local import LocalStorage
from tiercel.worker.single import Bench


@pytest.mark.parametrize(
    ("namespace", "flow", "expected"),
    [
        ("company.team", "My_Flow", r"companyteam-my-flow-one-[a-z0-9]{8}"),
        ("n" * 80, "f", r"n{54}-[a-z0-9]{8}"),
        ("n" * 53, "f", r"n{53}-[a-z0-9]{8}"),
    ],
)
def test_a_name_can_be_read_and_is_nobody_elses(tmp_path: Path, namespace: str, flow: str, expected: str) -> None:
    """Namespace, flow and task in lower case, cut so that engines take it, and letters of chance."""
    context = Bench(LocalStorage(tmp_path)).context(
        {"flow": {"namespace": namespace, "id": flow}, "task": {"id": "one"}, "execution": {"id": "e"}}
    )

    first, second = job_name(context), job_name(context)

    assert re.fullmatch(expected, first)
    assert first != second
    assert len(first) <= 63


def test_the_first_attempt_has_the_number_of_kestras(tmp_path: Path) -> None:
    """Who filters containers by labels finds those of a first attempt under 0."""
    found = labels(Bench(LocalStorage(tmp_path)).context({}))

    assert "0" == found["kestra.io/taskrun-attempt"]


def test_labels_take_another_prefix_and_lower_case(tmp_path: Path) -> None:
    """A runner of a package may write to a system that takes neither slashes nor capitals."""
    context = Bench(LocalStorage(tmp_path)).context({"flow": {"namespace": "team", "id": "My_Flow"}})

    found = labels(context, prefix="", lowercase=True)

    assert "my_flow" == found["flow-id"]
