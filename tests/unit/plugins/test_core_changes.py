"""Core tasks that change what is there: how values are merged, and which versions a purge takes."""

from __future__ import annotations

from typing import Any

import pytest

from tiercel.plugins.core.kv.put import MIXED, NO_KEY, NO_MAP
from tiercel.storage.namespace_files import NamespaceFolder
from tiercel.worker.single import Bench, RunOutcome

CORE = "io.kestra.plugin.core"
VARIABLES = {"flow": {"id": "my_flow", "namespace": "company.team"}, "execution": {"id": "e1"}}


async def run(bench: Bench, kind: str, **properties: Any) -> RunOutcome:
    return await bench.run({"id": "task", "type": f"{CORE}.{kind}", **properties}, VARIABLES)


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        ({"a": 1, "b": {"c": 1}}, {"b": {"d": 2}}, {"a": 1, "b": {"c": 1, "d": 2}}),
        ("text", {"b": 1}, {"b": 1}),
        ({"a": 1}, [{"key": "b.c", "value": 2}, {"key": "a", "value": 3}], {"a": 3, "b": {"c": 2}}),
        ("text", [{"value": 5}], 5),
        ({"a": 1}, [1, 2], [1, 2]),
        ({"a": 1}, [{"key": "b", "value": 2, "more": 3}], [{"key": "b", "value": 2, "more": 3}]),
        ({"a": 1}, [], []),
    ],
)
async def test_a_value_is_merged_or_replaced(bench: Bench, before: Any, change: Any, after: Any) -> None:
    """Entries of key and value change a map; any other list takes the place of what is there."""
    await bench.surroundings.key_values_of("main").put("company.team", "k", before)

    outcome = await run(bench, "kv.Put", key="k", value=change)

    assert outcome.error is None
    assert after == await bench.surroundings.key_values_of("main").get("company.team", "k")


@pytest.mark.parametrize(
    ("before", "change", "reason"),
    [
        ("text", [{"key": "a", "value": 1}], NO_MAP),
        ({}, [{"value": 1}, {"key": "a", "value": 1}], MIXED),
        ({}, [{"key": " ", "value": 1}], NO_KEY),
    ],
)
async def test_changes_that_mean_nothing_fail(bench: Bench, before: Any, change: Any, reason: str) -> None:
    """And leave the value as it is."""
    await bench.surroundings.key_values_of("main").put("company.team", "k", before)

    outcome = await run(bench, "kv.Put", key="k", value=change)

    assert reason in (outcome.error or "")
    assert before == await bench.surroundings.key_values_of("main").get("company.team", "k")


@pytest.mark.parametrize(("keep", "size", "left"), [(0, 3, []), (1, 2, [3]), (2, 1, [2, 3])])
async def test_a_purge_of_versions_keeps_as_many_as_it_says(
    bench: Bench, keep: int, size: int, left: list[int]
) -> None:
    """Of files and of keys; who keeps none loses the present one, too."""
    files = NamespaceFolder(bench.surroundings.storage, "main", "company.team")
    for number in range(3):
        await files.put("a.txt", str(number).encode())
        await bench.surroundings.key_values_of("main").put("company.team", "k", number)
    behavior = {"type": "version", "keepAmount": keep}

    of_files = await run(bench, "namespace.PurgeFiles", namespaces=["company.team"], behavior=behavior)
    of_keys = await run(bench, "kv.PurgeKV", namespaces=["company.team"], behavior=behavior)

    assert ({"size": size}, {"size": size}) == (of_files.outputs, of_keys.outputs)
    assert left == [each.revision for each in await files.revisions("a.txt")]
    assert left == [
        each.version for each in await bench.surroundings.key_values_of("main").versions("company.team", "k")
    ]
