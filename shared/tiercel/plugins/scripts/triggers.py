"""
Triggers that run a script or commands at every interval, and start an execution when the outcome is the wanted one.

With `edge` they start one only when the outcome becomes the wanted one; what it was last is a key of the namespace, so
that whichever worker evaluates the trigger next knows it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from tiercel.errors import NotFound, TaskFailed
from tiercel.expression import java_regex
from tiercel.model.property import DYNAMIC, NOT_EMPTY
from tiercel.plugins.base import PollingTrigger, RunContext
from tiercel.plugins.registry import register
from tiercel.plugins.scripts.script import LANGUAGES, PACKAGE, Commands, Script

_EXIT: Final = re.compile(r"exit\s+(\d+)", re.IGNORECASE)


class OutcomeTrigger(PollingTrigger, frozen=True, kw_only=True):
    """What the triggers of scripts and of commands have in common."""

    exit_condition: Annotated[str, DYNAMIC, NOT_EMPTY]
    """`exit N` for an exit code; else a pattern, or a text, to be found in the variables that the script emits."""
    edge: Annotated[bool | str, DYNAMIC] = True
    """Whether an outcome that was the wanted one already starts nothing."""
    container_image: Annotated[str | None, DYNAMIC] = None

    def task(self) -> Commands | Script:
        """Return the task that does at every interval what the trigger names."""
        raise NotImplementedError(f"{type(self).__name__} names nothing to run.")

    async def evaluate(self, context: RunContext) -> dict[str, Any] | None:
        """Return `exitCode`, `condition` and `vars` of a run whose outcome is the wanted one, None of another."""
        outputs = await _outcome(self.task(), context)
        condition = (await context.render(self.exit_condition) or "").strip()
        is_met = meets(condition, outputs["exitCode"], outputs["vars"])
        if await context.render(self.edge, bool) is not False and not await self._becomes(context, is_met=is_met):
            return None
        if not is_met:
            return None
        return {"exitCode": outputs["exitCode"], "condition": condition, "vars": outputs["vars"]}

    async def _becomes(self, context: RunContext, *, is_met: bool) -> bool:
        """Keep whether the condition is met, and tell whether it is and was not."""
        key = f"trigger_{context.flow_id}_{self.id}_met"
        try:
            was_met = await context.key_values.get(context.namespace, key) is True
        except NotFound:
            was_met = False
        if was_met is not is_met:
            await context.key_values.put(context.namespace, key, is_met)
        return is_met and not was_met


class CommandsTrigger(OutcomeTrigger, frozen=True, kw_only=True):
    """
    Start an execution when commands end as wanted.

    Example:
        id: is_missing
        type: io.kestra.plugin.scripts.shell.CommandsTrigger
        exitCondition: exit 1
        commands:
          - test -e /data/ready
    """

    commands: Annotated[list[str] | str, DYNAMIC, NOT_EMPTY]

    def task(self) -> Commands | Script:
        """Return the task of the same language."""
        own = self.type.removesuffix("Trigger")
        return Commands(id=self.id, type=own, commands=self.commands, container_image=self.container_image)


class ScriptTrigger(OutcomeTrigger, frozen=True, kw_only=True):
    """
    Start an execution when a script ends as wanted.

    Example:
        id: is_ready
        type: io.kestra.plugin.scripts.shell.ScriptTrigger
        exitCondition: ready
        script: |
          echo '::{"outputs":{"status":"ready"}}::'
    """

    script: Annotated[str, DYNAMIC, NOT_EMPTY]

    def task(self) -> Commands | Script:
        """Return the task of the same language."""
        own = self.type.removesuffix("Trigger")
        return Script(id=self.id, type=own, script=self.script, container_image=self.container_image)


async def _outcome(task: Commands | Script, context: RunContext) -> Mapping[str, Any]:
    """Run a task; an exit code other than 0 is an outcome, what could not be run at all is an error."""
    try:
        result = await task.run(context)
    except TaskFailed as failure:
        if not failure.outputs or failure.outputs.get("exitCode", 0) == 0:
            raise
        return {"exitCode": failure.outputs["exitCode"], "vars": {}}
    return result.outputs or {}


def meets(condition: str, code: int, emitted: Mapping[str, Any]) -> bool:
    """Tell whether an outcome is the wanted one; a text that is no pattern, or takes too long as one, is looked for."""
    wanted = _EXIT.fullmatch(condition)
    if wanted is not None:
        return code == int(wanted.group(1))
    if not emitted:
        return False
    text = json.dumps(emitted, ensure_ascii=False, default=str)
    try:
        return java_regex.find(condition, text) is not None
    except (ValueError, TimeoutError):
        return condition in text


for _language in LANGUAGES:
    register(f"{PACKAGE}.{_language}.CommandsTrigger")(CommandsTrigger)
    register(f"{PACKAGE}.{_language}.ScriptTrigger")(ScriptTrigger)
