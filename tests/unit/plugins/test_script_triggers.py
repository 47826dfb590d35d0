"""Triggers that run scripts: which outcome starts an execution, and when it starts no second one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tiercel.errors import NotFound, TaskFailed
from tiercel.plugins.scripts.triggers import CommandsTrigger, ScriptTrigger, meets
from tiercel.storage.local import LocalStorage
from tiercel.worker.settings import WorkerSettings
from tiercel.worker.single import Bench

SHELL = "io.kestra.plugin.scripts.shell"


class Keys:
    """A namespace's keys, in a dict."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    async def get(self, namespace: str, key: str) -> Any:
        if key not in self.values:
            raise NotFound(f"There is no key '{key}'.")
        return self.values[key]

    async def put(self, namespace: str, key: str, value: Any) -> None:
        self.values[key] = value


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A bench with a key-value store."""
    settings = WorkerSettings(temporary_folder=str(tmp_path / "folders"), cache_folder=str(tmp_path / "cache"))
    return Bench(LocalStorage(tmp_path / "storage"), settings=settings, kv=Keys())


async def test_an_outcome_starts_one_execution_when_it_becomes_the_wanted_one(bench: Bench, tmp_path: Path) -> None:
    """It was, it is no more, it is again: the second one counts, not the time between."""
    trigger = CommandsTrigger(
        id="c", type=f"{SHELL}.CommandsTrigger", exit_condition="{{ 'Exit 1' }}", commands=[f"test -e {tmp_path}/there"]
    )
    found = [await trigger.evaluate(bench.context()) for _ in range(2)]
    (tmp_path / "there").touch()
    found.append(await trigger.evaluate(bench.context()))
    (tmp_path / "there").unlink()
    found.append(await trigger.evaluate(bench.context()))

    expected = {"exitCode": 1, "condition": "Exit 1", "vars": {}}
    assert [expected, None, None, expected] == found


async def test_without_edge_every_wanted_outcome_starts_one(bench: Bench) -> None:
    """With what the script emits."""
    trigger = ScriptTrigger(
        id="s",
        type=f"{SHELL}.ScriptTrigger",
        exit_condition="rea.y",
        edge=False,
        script="""echo '::{"outputs":{"status":"ready"}}::'""",
    )
    expected = {"exitCode": 0, "condition": "rea.y", "vars": {"status": "ready"}}

    assert [expected, expected] == [await trigger.evaluate(bench.context()) for _ in range(2)]


async def test_what_cannot_be_run_is_an_error_and_no_outcome(bench: Bench) -> None:
    """A file that is not in storage is not the exit code that somebody waits for."""
    trigger = ScriptTrigger(
        id="s", type=f"{SHELL}.ScriptTrigger", exit_condition="exit 1", script="cat {{ nothing.here }}"
    )
    with pytest.raises(Exception, match="nothing") as raised:
        await trigger.evaluate(bench.context())
    assert not isinstance(raised.value, TaskFailed) or not raised.value.outputs


@pytest.mark.parametrize(
    ("condition", "code", "emitted", "expected"),
    [
        ("exit 1", 1, {}, True),
        ("EXIT 01", 1, {}, True),
        ("exit 1", 11, {}, False),
        ("ready", 0, {"status": "ready"}, True),
        ("a[", 0, {"x": "a["}, True),
        ("ready", 1, {}, False),
    ],
)
def test_a_condition_is_a_code_a_pattern_or_a_text(
    condition: str, code: int, emitted: dict[str, Any], expected: bool
) -> None:
    """A text that is no pattern is looked for as it is."""
    assert expected is meets(condition, code, emitted)
