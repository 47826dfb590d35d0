"""What is the same for all executions of this process, made from its settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiercel.executor.core.facts import Surroundings
from tiercel.executor.settings import ExecutorSettings
from tiercel.expression.rendering import Engine
from tiercel.model.execution import Execution
from tiercel.model.flow import Flow


def surroundings_of(settings: ExecutorSettings) -> Surroundings:
    """Return the engine, the variables of the installation, and the hooks of the core."""
    return Surroundings(
        engine=Engine(recursive=settings.recursive_rendering),
        globals=settings.globals,
        envs=settings.envs,
        encrypt=_identity,
        decrypt=_identity,
        type_outputs=_outputs,
        conditions_hold=_hold,
        jobs_max=settings.jobs_max,
        chunk=settings.chunk,
    )


def _identity(value: Any) -> Any:
    return value


def _outputs(flow: Flow, values: Mapping[str, Any]) -> dict[str, Any]:
    return dict(values)


def _hold(conditions: Sequence[Any], flow: Flow, execution: Execution) -> bool:
    return True
