"""A run's context: properties rendered and converted, questions asked of the world, secrets masked."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tiercel.errors import ExpressionError
from tiercel.model.task import LogLevel
from tiercel.storage.local import LocalStorage
from tiercel.worker.context import TaskContext
from tiercel.worker.settings import WorkerSettings
from tiercel.worker.single import Bench
from tiercel.worker.variables import place_large

KEY = "I6EGNzRESu3X3pKZidrqCGOHQFUFC0yK"
FLOW = {"flow": {"id": "f", "namespace": "company.team"}, "x": 3, "name": "o'x"}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    settings = WorkerSettings(
        encryption_key=KEY, temporary_folder=str(tmp_path / "tmp"), globals={"g": 1}, kestra={"url": "http://t"}
    )
    return Bench(
        LocalStorage(tmp_path / "storage"),
        settings=settings,
        environment={"SECRET_PASSWORD": "cGFzc3dvcmQ=", "ENV_ONE": "1", "KESTRA_TWO": "2", "OTHER": "x"},
    )


@pytest.fixture
def context(bench: Bench) -> TaskContext:
    return bench.context(FLOW)


@pytest.mark.parametrize(
    ("value", "as_type", "expected"),
    [
        (None, str, None),
        ("plain", str, "plain"),
        ("{{ x }}", str, "3"),
        (9, str, "9"),
        ({"a": "{{ x }}"}, str, '{"a":"3"}'),
        ("{{ x }}", int, 3),
        ("4.5", float, 4.5),
        ("{{ x > 2 }}", bool, True),
        ("", int, None),
        ("PT{{ x }}M", timedelta, timedelta(minutes=3)),
        (30, timedelta, timedelta(seconds=30)),
        ("2026-01-02T03:04:05Z", datetime, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("warn", LogLevel, LogLevel.WARN),
        ('["a", "{{ x }}"]', list[str], ["a", "3"]),
        (["{{ x }}", 2], list[int], [3, 2]),
        ("{{ [1, 2] }}", list[int], [1, 2]),
        ('{"{{ name }}": "{{ x }}"}', dict[str, Any], {"o'x": "3"}),
        ("{{ {'a': x} }}", Any, {"a": 3}),
        ("{{ x }}", Any, 3),
    ],
)
async def test_a_property_becomes_what_the_task_asks_for(
    context: TaskContext, value: Any, as_type: Any, expected: Any
) -> None:
    """Literals and expressions of every type are read the same way."""
    assert await context.render(value, as_type) == expected


@pytest.mark.parametrize(
    ("value", "as_type", "message"),
    [
        ("{{ name }}", int, "is not a whole number"),
        ("yes", bool, "is not true or false"),
        ("soon", timedelta, "is not a duration"),
        ("LOUD", LogLevel, "is not one of TRACE, DEBUG, INFO, WARN, ERROR"),
        ("[1", list[int], "is not JSON"),
        ("a.csv", list[str], "'a.csv' is not a list, and no JSON of one"),
        ("a=b", dict[str, int], "'a=b' is not a map, and no JSON of one"),
        ("{{ missing }}", str, "Unable to find `missing`"),
    ],
)
async def test_a_wrong_property_is_the_authors_to_mend(
    context: TaskContext, value: Any, as_type: Any, message: str
) -> None:
    """The message shows the value and what was expected."""
    with pytest.raises(ExpressionError, match=message):
        await context.render(value, as_type)


async def test_questions_are_answered_between_two_passes(bench: Bench, context: TaskContext) -> None:
    """Secrets, key-value pairs and files are fetched when an expression asks for them."""
    await context.key_values.put("company", "greeting", "hello")
    uri = await context.store("a.txt", b"content")

    text = await context.render("{{ secret('PASSWORD') }} {{ kv('greeting') }} {{ read('" + uri + "') }}")
    assert "password hello content" == text
    context.log("INFO", text)
    assert "****** hello content" == bench.logs[-1].message


async def test_open_files_are_stored_from_where_they_stand(context: TaskContext, tmp_path: Path) -> None:
    """A file that was read from already gives its rest, a pipe what comes through it."""
    (tmp_path / "file").write_bytes(b"head and rest")
    reading, writing = os.pipe()
    os.write(writing, b"through a pipe")
    os.close(writing)

    with (
        (tmp_path / "file").open("rb") as whole,
        (tmp_path / "file").open("rb") as rest,
        os.fdopen(reading, "rb") as pipe,
    ):
        rest.read(len("head and "))
        stored = [await context.store(name, file) for name, file in (("a", whole), ("b", rest), ("c", pipe))]

    contents = [await context.storage.read("main", uri) for uri in stored]
    assert [b"head and rest", b"rest", b"through a pipe"] == contents


async def test_a_large_output_is_loaded_when_it_is_touched(context: TaskContext) -> None:
    """What is in storage costs nothing until an expression names it, and is then like any other output."""
    uri = await context.storage.put("main", "/large.json", b'{"value": {"deep": [1, 2]}}')
    variables = dict(context.variables)
    place_large(variables, ("outputs", "task"), uri)
    place_large(variables, ("outputs", "gone"), "kestra:///not/there")
    context.variables = variables

    assert "3" == await context.render("{{ x }}")
    assert '2 {"value":{"deep":[1,2]}}' == await context.render("{{ outputs.task.value.deep[1] }} {{ outputs.task }}")


async def test_an_encrypted_input_is_decrypted_and_masked(bench: Bench) -> None:
    """SECRET inputs travel encrypted; only the worker sees them, and its logs never show them."""
    encrypted = bench.context(FLOW).encrypt("s3cr3t")
    context = bench.context({**FLOW, "inputs": {"password": encrypted}})

    assert "s3cr3t" == await context.render("{{ inputs.password }}")
    context.log("INFO", "it is s3cr3t!")
    assert "it is ******!" == bench.logs[-1].message


async def test_without_a_key_an_encrypted_output_is_kept_in_clear(tmp_path: Path) -> None:
    """A warning tells the operator which setting is missing; expressions read it, and logs do not show it."""
    bench = Bench(LocalStorage(tmp_path))
    kept = bench.context(FLOW).encrypt("s3cr3t")
    context = bench.context({**FLOW, "inputs": {"password": kept}})

    assert ("WARN", True) == (bench.logs[-1].level, "'encryption.secret-key'" in bench.logs[-1].message)
    assert "s3cr3t" == await context.render("{{ inputs.password }}")
    context.log("INFO", "it is s3cr3t!")
    assert "it is ******!" == bench.logs[-1].message


async def test_expressions_see_globals_and_chosen_variables_of_the_environment(context: TaskContext) -> None:
    """`envs` holds what begins with the prefixes, in lower case and without them."""
    assert "1 1 2 2" == await context.render("{{ globals.g }} {{ envs.one }} {{ envs.two }} {{ envs | length }}")


async def test_a_random_text_is_drawn_once_however_often_it_is_evaluated(context: TaskContext) -> None:
    """Passes of one rendering see the same chance; another rendering sees another."""
    await context.key_values.put("company.team", "k", "v")
    text = "{{ uuid() }}{{ kv('k') }}"

    assert await context.render(text) != await context.render(text)


async def test_secrets_in_a_message_become_stars(bench: Bench) -> None:
    """The stars do not tell how long a secret is; a secret that holds another one is masked as a whole."""
    context = bench.context(FLOW)
    for secret in ("pass", "password", "{\nlong line\n}"):
        context.mask.add(secret)

    context.log("DEBUG", "pass - password - passpass")
    context.log("INFO", "{only long line}")
    assert ["****** - ****** - ************", "{only ******}"] == [entry.message for entry in bench.logs[-2:]]


async def test_a_task_that_logs_without_an_end_is_cut_and_says_so(tmp_path: Path) -> None:
    """Long lines are cut, and after the cap one line tells what happened."""
    settings = WorkerSettings(log_line_size_max=10, log_lines_max=3)
    bench = Bench(LocalStorage(tmp_path), settings=settings)
    context = bench.context(FLOW)
    for _ in range(100):
        context.log("INFO", "x" * 50)

    assert 4 == len(bench.logs)
    assert "xxxxxxxxxx… (40 more characters are cut off)" == bench.logs[0].message
    assert "WARN" == bench.logs[-1].level
    assert "what follows is dropped" in bench.logs[-1].message


async def test_lines_below_the_level_of_the_task_are_not_logged(bench: Bench) -> None:
    """`logLevel` is the least that is kept."""
    outcome = await bench.run(
        {"id": "t", "type": "io.kestra.plugin.core.log.Log", "message": ["a"], "level": "DEBUG", "logLevel": "INFO"}
    )

    assert [] == outcome.logs


async def test_measurements_add_up_within_a_run(context: TaskContext) -> None:
    """Counters and timers add, a gauge keeps the last value, other tags are another measurement."""
    context.counter("c", 12)
    context.counter("c", 30)
    context.counter("c", 1, key="value")
    context.timer("t", 12)
    context.timer("t", 30)
    context.gauge("g", 50)
    context.gauge("g", 75)

    assert [
        ("c", 42, {}),
        ("c", 1, {"key": "value"}),
        ("t", 42, {}),
        ("g", 75, {}),
    ] == [(each["name"], each["value"], each["tags"]) for each in context.metrics.snapshot()]


async def test_a_run_sees_the_installation(context: TaskContext) -> None:
    """`kestra` tells the public address and the name of the installation, as far as they are set."""
    assert "http://t none" == await context.render("{{ kestra.url }} {{ kestra.environment ?? 'none' }}")
