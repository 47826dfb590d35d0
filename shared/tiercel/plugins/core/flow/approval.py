"""Waiting for a reviewer, who approves or denies."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from tiercel.model.input import Input
from tiercel.model.property import DYNAMIC, Node
from tiercel.plugins.base import Task
from tiercel.plugins.core.flow.branching import BranchingTask
from tiercel.plugins.registry import register


class Decision(StrEnum):
    """What became of a request for approval."""

    APPROVED = "APPROVED"
    DENIED = "DENIED"
    EXPIRED = "EXPIRED"


class CommentRequired(StrEnum):
    """When a reviewer must say why."""

    NEVER = "NEVER"
    ALWAYS = "ALWAYS"
    ON_DENY = "ON_DENY"
    ON_APPROVE = "ON_APPROVE"


class Behavior(StrEnum):
    """What becomes of the task, or of the execution (SUCCEED, CANCEL, KILL), after a decision."""

    CONTINUE = "CONTINUE"
    WARN = "WARN"
    FAIL = "FAIL"
    SUCCEED = "SUCCEED"
    CANCEL = "CANCEL"
    KILL = "KILL"


class Decisions(Node, frozen=True, kw_only=True):
    """What the two decisions are called."""

    approve: Annotated[str, DYNAMIC] = "Approve"
    deny: Annotated[str, DYNAMIC] = "Deny"


@register("io.kestra.plugin.core.flow.Approval")
class Approval(BranchingTask, frozen=True, kw_only=True):
    """
    Pause until a reviewer approves or denies, or the `timeout` is over.

    Outputs are `decision` (APPROVED, DENIED, EXPIRED), `auto`, `by`, `on`, `comment`, `inputs`, `due` and `url`.

    Example:
        id: release
        type: io.kestra.plugin.core.flow.Approval
        timeout: P1D
        commentRequired: ON_DENY
        onApprove:
          - id: deploy
            type: io.kestra.plugin.core.log.Log
            message: Approved by {{ outputs.release.by }}
    """

    inputs: tuple[Input, ...] = ()
    """Inputs that a reviewer is asked for."""
    decisions: Decisions = Decisions()
    """What the two decisions are called."""
    comment_required: Annotated[str | CommentRequired, DYNAMIC] = CommentRequired.NEVER
    """When a reviewer must comment."""
    auto_approve: Annotated[bool | str, DYNAMIC] = False
    """Whether it is approved at once, without anybody."""
    approve_behavior: Annotated[str | Behavior, DYNAMIC] = Behavior.CONTINUE
    """What follows `onApprove`."""
    deny_behavior: Annotated[str | Behavior, DYNAMIC] = Behavior.CANCEL
    """What follows `onDeny`."""
    expire_behavior: Annotated[str | Behavior, DYNAMIC] = Behavior.CANCEL
    """What follows when nobody decides in time."""
    on_wait: tuple[Task, ...] = ()
    """Tasks that run before the pause."""
    on_approve: tuple[Task, ...] = ()
    """Tasks that run after an approval."""
    on_deny: tuple[Task, ...] = ()
    """Tasks that run after a denial."""

    def main_branches(self) -> Iterator[tuple[str, tuple[Task, ...]]]:
        yield "onWait", self.on_wait
        yield "onApprove", self.on_approve
        yield "onDeny", self.on_deny
