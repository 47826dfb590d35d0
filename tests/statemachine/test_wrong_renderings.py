"""Expressions that give the wrong thing: for every property that the executor renders, a sentence or a good end."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
import yaml

from tests.fuzz.flows import RENDERINGS, Flows
from tests.statemachine.machine import Machine
from tiercel.flowspec.parse import check_flow


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_an_expression_that_gives_the_wrong_thing_breaks_no_decision(rendering: str) -> None:
    """Each property of each task that the executor runs itself is tried: its execution ends or waits."""
    ends = Counter[str]()
    for document in Flows(Random(1), wrong=0.0).rendered_wrong(rendering):
        source = yaml.safe_dump({"id": "f", **document})
        if check_flow(source).flow is None:
            ends["refused"] += 1
            continue
        machine = Machine(source).create().run().pass_time(200)
        ends[str(machine.state)] += 1
        assert all(line.strip() for line in machine.logs)

    assert ends["FAILED"] > 5
    assert sum(ends.values()) > 40
