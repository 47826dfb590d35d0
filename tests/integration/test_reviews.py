"""Reviews by API: a reviewer approves or denies, with a comment and inputs where the task asks for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.api_stage import Stage, running

ASKING = """
id: asking
namespace: company.team
tasks:
  - id: release
    type: io.kestra.plugin.core.flow.Approval
    commentRequired: ON_DENY
    denyBehavior: CONTINUE
    inputs:
      - {id: count, type: INT}
"""


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path, follow_wait_s=0.05)
    async with running(stage):
        await stage.call("POST", "flows", content=ASKING)
        yield stage
    await stage.close()


async def test_a_reviewer_decides_with_comment_and_inputs(stage: Stage) -> None:
    """The inputs are typed, and the execution goes on."""
    id_ = (await stage.call("POST", "executions/company.team/asking?wait=true"))["id"]

    path = f"executions/{id_}/actions/review?decision=DENIED&comment=no"
    answer = await stage.call("POST", path, files={"count": (None, "3")})

    assert "SUCCESS" == answer["state"]["current"]
    run = answer["taskRunList"][0]
    outputs = await stage.call("GET", f"outputs/{id_}/{run['id']}")
    assert {"decision": "DENIED", "comment": "no", "inputs": {"count": 3}, "auto": False}.items() <= outputs.items()
    await stage.call("POST", path, 409, files={"count": (None, "3")})


@pytest.mark.parametrize(
    ("query", "count", "status", "message"),
    [
        ("", "1", 400, "Required QueryValue [decision]"),
        ("?decision=MAYBE", "1", 422, "'MAYBE' is not a decision; use one of APPROVED, DENIED."),
        ("?decision=DENIED", "1", 422, "The approval 'release' asks for a comment"),
        ("?decision=APPROVED", "many", 422, "count"),
        ("?decision=APPROVED&taskRunId=x", "1", 409, "the task run 'x' is no approval that waits"),
    ],
)
async def test_a_review_that_is_wrong_decides_nothing(
    stage: Stage, query: str, count: str, status: int, message: str
) -> None:
    """The answer says what is missing, and the execution waits on."""
    id_ = (await stage.call("POST", "executions/company.team/asking?wait=true"))["id"]

    answer = await stage.call("POST", f"executions/{id_}/actions/review{query}", status, files={"count": (None, count)})

    assert message in answer["message"]
    assert "PAUSED" == (await stage.call("GET", f"executions/{id_}"))["state"]["current"]


async def test_an_approval_cannot_be_resumed(stage: Stage) -> None:
    """Whoever tries is told where decisions are given."""
    id_ = (await stage.call("POST", "executions/company.team/asking?wait=true"))["id"]

    answer = await stage.call("POST", f"executions/{id_}/actions/resume", 409)

    assert "waits for a decision" in answer["message"]
