"""A task whose whole definition is an expression."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from tiercel.errors import TaskFailed
from tiercel.expression import yaml_text
from tiercel.flowspec.binder import bind_typed
from tiercel.flowspec.findings import Findings
from tiercel.flowspec.scalars import BROKEN
from tiercel.model.property import DYNAMIC, NOT_EMPTY, constant
from tiercel.model.task import Objection
from tiercel.plugins.base import RunContext, RunnableTask, Task, TaskResult
from tiercel.plugins.registry import register


@register("io.kestra.plugin.core.templating.TemplatedTask", "io.kestra.core.tasks.templating.TemplatedTask")
class TemplatedTask(RunnableTask, frozen=True, kw_only=True):
    """Render a YAML text that describes a task, and run that task."""

    spec: Annotated[str, DYNAMIC, NOT_EMPTY]

    def objections(self) -> Iterator[Objection]:
        text = constant(self.spec)
        if text is not None:
            try:
                described(text, self.id)
            except TaskFailed as error:
                yield Objection(("spec",), str(error), refuses=False)

    async def run(self, context: RunContext) -> Mapping[str, Any] | TaskResult | None:
        """Run the described task in place of this one."""
        return await described(await context.render(self.spec), self.id).run(context)


def described(text: str, task_id: str) -> RunnableTask:
    """Return the task that a text describes, of this id unless it says another; raise TaskFailed when there is none."""
    try:
        definition = yaml_text.loads(text)
    except ValueError as error:
        raise TaskFailed(f"The rendered 'spec' is not YAML: {error}") from error
    if not isinstance(definition, dict):
        raise TaskFailed("The rendered 'spec' must be a map that describes a task.")
    definition.setdefault("id", task_id)
    findings = Findings()
    task = bind_typed(Task, definition, None, findings)
    if task is BROKEN or (findings.found and isinstance(task, RunnableTask)):
        raise TaskFailed("; ".join(str(problem) for problem in findings.problems(None)))
    if isinstance(task, TemplatedTask):
        raise TaskFailed(f"The templated task cannot be of type '{task.type}'")
    if not isinstance(task, RunnableTask):
        raise TaskFailed("The templated task must be a runnable task")
    return task
