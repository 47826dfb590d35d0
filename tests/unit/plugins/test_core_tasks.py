"""Core tasks, each run alone: what they return, store and refuse."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tiercel.flowspec.parse import check_flow
from tiercel.model.state import State
from tiercel.plugins.core.storage.split import STORED_AT_ONCE
from tiercel.storage.local import LocalStorage
from tiercel.worker.settings import WorkerSettings
from tiercel.worker.single import Bench, RunOutcome

CORE = "io.kestra.plugin.core"
EMPTY = f"""\
id: empty
namespace: team
tasks:
  - {{id: write, type: {CORE}.storage.Write, content: ""}}
  - {{id: log, type: {CORE}.log.Log, message: ""}}
"""
VARIABLES = {"flow": {"id": "my_flow", "namespace": "company.team"}, "execution": {"id": "e1"}, "n": 3}


async def run(bench: Bench, kind: str, **properties: Any) -> RunOutcome:
    return await bench.run({"id": "task", "type": f"{CORE}.{kind}", **properties}, VARIABLES)


async def put(bench: Bench, path: str, content: bytes) -> str:
    return await bench.surroundings.storage.put("main", path, content)


async def read(bench: Bench, uri: str) -> bytes:
    return await bench.surroundings.storage.read("main", uri)


async def test_return_gives_its_text_and_measures_it(bench: Bench) -> None:
    """The output keeps the text, the counter its length."""
    outcome = await run(bench, "debug.Return", format="n is {{ n }}")

    assert {"value": "n is 3"} == outcome.outputs
    assert (outcome.metrics[0]["name"], outcome.metrics[0]["value"]) == ("length", 6)


async def test_output_values_are_rendered_in_maps_and_lists(bench: Bench) -> None:
    """Texts are rendered, other values stay what they are."""
    outcome = await run(bench, "output.OutputValues", values={"a": "{{ n }}", "b": [1, "{{ n }}"], "c": {"d": True}})

    assert {"values": {"a": "3", "b": [1, "3"], "c": {"d": True}}} == outcome.outputs


@pytest.mark.parametrize(
    ("properties", "state"),
    [
        ({}, State.FAILED),
        ({"condition": "{{ n == 3 }}"}, State.FAILED),
        ({"condition": "{{ n == 4 }}"}, State.SUCCESS),
        ({"condition": "0"}, State.SUCCESS),
    ],
)
async def test_fail_fails_when_its_condition_holds(bench: Bench, properties: dict[str, Any], state: State) -> None:
    """Without a condition it always does."""
    outcome = await run(bench, "execution.Fail", errorMessage="n is {{ n }}", **properties)

    assert outcome.state is state
    assert outcome.error == ("n is 3" if state is State.FAILED else None)


async def test_assert_tries_all_conditions(bench: Bench) -> None:
    """Each that does not hold, or cannot be rendered, is logged as it is written."""
    conditions = ["{{ n == 3 }}", "{{ n == 4 }}", "{{ nobody }}"]
    outcome = await run(bench, "execution.Assert", conditions=conditions, errorMessage="n={{ n }}")

    assert outcome.state is State.FAILED
    assert "2 assertions failed!\nn=3" == outcome.error
    assert any("{{ n == 4 }}" in entry.message for entry in outcome.logs)


async def test_files_are_written_joined_turned_measured_and_deleted(bench: Bench) -> None:
    """What is done with whole files."""
    first = (await run(bench, "storage.Write", content="1\n2", extension="txt")).outputs["uri"]
    second = (await run(bench, "storage.Write", content="n={{ n }}", extension=".txt")).outputs["uri"]
    joined = (await run(bench, "storage.Concat", files=[first, second], separator="\n", extension=".txt")).outputs[
        "uri"
    ]
    turned = (await run(bench, "storage.Reverse", **{"from": joined})).outputs["uri"]

    assert first.endswith(".txt")
    assert b"1\n2\nn=3\n" == await read(bench, joined)
    assert b"n=3\n2\n1\n" == await read(bench, turned)
    assert {"size": 8} == (await run(bench, "storage.Size", uri=joined)).outputs
    assert (await run(bench, "storage.Delete", uri=joined)).outputs["deleted"]
    assert (await run(bench, "storage.Delete", uri=joined, errorOnMissing=True)).state is State.FAILED


@pytest.mark.parametrize(
    ("charset", "separator", "reason"),
    [
        ("none-such", "\n", "The charset 'none-such' is unknown."),
        ("hex", "\n", "The charset 'hex' is unknown."),
        ("US-ASCII", "€", "The separator '€' cannot be written in charset 'US-ASCII'."),
    ],
)
async def test_reverse_says_what_is_wrong_with_a_charset(
    bench: Bench, charset: str, separator: str, reason: str
) -> None:
    """A charset that is none, or one that has no such separator, fails the task with a sentence of the task's own."""
    uri = (await run(bench, "storage.Write", content="1\n2")).outputs["uri"]

    outcome = await run(bench, "storage.Reverse", **{"from": uri, "charset": charset, "separator": separator})

    assert (State.FAILED, reason) == (outcome.state, outcome.error)


@pytest.mark.parametrize(
    ("rule", "parts"),
    [
        ({"rows": 2}, [b"a1\nb2\n", b"a3\n"]),
        ({"rows": 3}, [b"a1\nb2\na3\n"]),
        ({"partitions": 2}, [b"a1\na3\n", b"b2\n"]),
        ({"bytes": "6B"}, [b"a1\nb2\n", b"a3\n"]),
        ({"bytes": "4B"}, [b"a1\nb2\n", b"a3\n"]),
        ({"regexPattern": "^([a-z])"}, [b"a1\na3\n", b"b2\n"]),
        ({"separator": "\nb", "rows": 1}, [b"a1\nb", b"2\na3\n\nb"]),
    ],
)
async def test_a_file_is_split_by_its_rule(bench: Bench, rule: dict[str, Any], parts: list[bytes]) -> None:
    """By rows, in turn, by what a line says; by size, where the line that reaches it is a part's last one."""
    uri = await put(bench, "/in.txt", b"a1\nb2\na3\n")
    outcome = await run(bench, "storage.Split", **{"from": uri}, **rule)

    assert [await read(bench, part) for part in outcome.outputs["uris"]] == parts


async def test_a_file_is_not_split_without_a_rule(bench: Bench) -> None:
    """Nothing stands in for what the author has forgotten."""
    uri = await put(bench, "/in.txt", b"a1\n")

    outcome = await run(bench, "storage.Split", **{"from": uri})

    assert outcome.state is State.FAILED
    assert "'rows', 'bytes', 'partitions' or 'regexPattern'" in (outcome.error or "")


async def test_an_empty_text_is_false_and_null_no_answer(bench: Bench) -> None:
    """Rows that are kept stay as they are written."""
    uri = await put(bench, "/in.ion", b'{"a": "", "b": null}\r\n{"a": "x"}\n')

    by_text = await run(bench, "storage.FilterItems", **{"from": uri}, filterCondition="{{ a }}")
    by_null = await run(bench, "storage.FilterItems", **{"from": uri}, filterCondition="{{ b }}")

    assert b'{"a": "x"}\n' == await read(bench, by_text.outputs["uri"])
    assert by_null.state is State.FAILED


class WatchedStorage(LocalStorage):
    """A storage that looks into another folder each time it is given a file."""

    def __init__(self, base_path: Path, watched: Path) -> None:
        super().__init__(base_path)
        self.watched = watched
        self.most = 0

    async def put(self, tenant_id: str, uri: str, content: Any, **more: Any) -> str:
        self.most = max(self.most, len(list(self.watched.rglob("split-*/*"))))
        return await super().put(tenant_id, uri, content, **more)


async def test_few_parts_of_a_file_are_on_the_disk_at_a_time(tmp_path: Path) -> None:
    """Parts are stored and removed while others are cut: a file of any size needs its own room, not twice as much."""
    storage = WatchedStorage(tmp_path / "storage", tmp_path / "tmp")
    bench = Bench(storage, settings=WorkerSettings(temporary_folder=str(tmp_path / "tmp")))
    rows = [f"{number}\n".encode() for number in range(100)]
    uri = await put(bench, "/in.txt", b"".join(rows))

    outcome = await run(bench, "storage.Split", **{"from": uri}, rows=1)

    assert [await read(bench, part) for part in outcome.outputs["uris"]] == rows
    assert 1 <= storage.most <= STORED_AT_ONCE + 1


async def test_a_part_that_cannot_be_stored_fails_the_split(bench: Bench) -> None:
    """The sentence is that of the storage; nothing of the task's folder is left."""
    uri = await put(bench, "/in.txt", b"1\n2\n")
    blocker = "/company/team/my-flow/executions/e1/tasks"
    await put(bench, blocker, b"a file where a folder must be")

    outcome = await run(bench, "storage.Split", **{"from": uri}, rows=1)

    assert outcome.state is State.FAILED
    assert "is a file" in (outcome.error or "")


async def test_rows_are_filtered_by_their_fields(bench: Bench) -> None:
    """A field may have any name, also that of a parameter of ours."""
    uri = await put(bench, "/in.ion", b'{value:1,as_type:"a"}\n{value:2,as_type:"b"}\n{value:null}\n')
    outcome = await run(
        bench,
        "storage.FilterItems",
        **{"from": uri},
        filterCondition="{{ value % 2 == 0 }}",
        errorOrNullBehavior="EXCLUDE",
    )

    assert (outcome.outputs["processedItemsTotal"], outcome.outputs["droppedItemsTotal"]) == (3, 2)
    assert b'{value:2,as_type:"b"}\n' == await read(bench, outcome.outputs["uri"])


async def test_keys_are_set_listed_changed_and_deleted(bench: Bench) -> None:
    """Values keep their type; a change leaves what it does not name, and the expiry."""
    await run(bench, "kv.Set", key="map", value="{{ {'a': n} }}", ttl="PT1H", kvDescription="why")
    await run(bench, "kv.Set", key="age", value="P1DT5S", kvType="DURATION")
    await run(bench, "kv.Put", key="map", value=[{"key": "b.c", "value": "{{ n }}"}])

    assert {"value": {"a": 3, "b": {"c": "3"}}} == (await run(bench, "kv.Get", key="map")).outputs
    assert {"value": timedelta(days=1, seconds=5)} == (await run(bench, "kv.Get", key="age")).outputs
    entry = await bench.surroundings.key_values_of("main").entry("company.team", "map")
    assert entry is not None
    assert "why" == entry.description
    assert entry.expiration_date is not None
    assert {"keys": ["map"]} == (await run(bench, "kv.GetKeys", prefix="m")).outputs
    assert {"deleted": True} == (await run(bench, "kv.Delete", key="map")).outputs
    assert {"value": None} == (await run(bench, "kv.Get", key="map")).outputs
    assert (await run(bench, "kv.Get", key="map", errorOnMissing=True)).state is State.FAILED


async def test_namespace_files_go_both_ways(bench: Bench) -> None:
    """Uploaded files are found by patterns, copied, and deleted with folders that are empty then."""
    await run(bench, "namespace.UploadFiles", filesMap={"a/one.sql": "1", "two.txt": "2"}, destination="/sub")
    found = await run(bench, "namespace.DownloadFiles", namespace="company.team", files="**.sql")
    assert {"/sub/a/one.sql"} == set(found.outputs["files"])
    by_letter = await run(bench, "namespace.DownloadFiles", files="[st]*/two.txt")  # a glob, and no list
    assert {"/sub/two.txt"} == set(by_letter.outputs["files"])
    again = await run(bench, "namespace.UploadFiles", filesMap={"two.txt": "x"}, destination="/sub", conflict="ERROR")
    assert "already exists" in (again.error or "")

    await run(bench, "namespace.DeleteFiles", files=["**/one.sql"], deleteParentFolder=True)
    storage = bench.surroundings.storage
    assert [
        "kestra:///company/team/_files/sub/",
        "kestra:///company/team/_files/sub/two.txt",
    ] == await storage.by_prefix("main", "/company/team/_files", directories=True)


async def test_copies_of_namespace_files_stay_what_they_were_when_the_attempt_is_run_again(bench: Bench) -> None:
    """After a crash of the queue a job may be run again, and the file of the namespace may be another one then."""
    copies = []
    for content in ("1", "2"):
        await run(bench, "namespace.UploadFiles", filesMap={"a.txt": content})
        copies.append((await run(bench, "namespace.DownloadFiles", files="a.txt")).outputs["files"]["/a.txt"])

    assert [b"1", b"2"] == [await read(bench, uri) for uri in copies]


async def test_files_of_an_execution_are_purged(bench: Bench) -> None:
    """Those of others stay; the folder that goes with them is named behind them, and where nothing was, nothing is."""
    own = await put(bench, "/company/team/my-flow/executions/e1/tasks/t/r/a.txt", b"")
    other = await put(bench, "/company/team/my-flow/executions/e2/tasks/t/r/a.txt", b"")

    first = await run(bench, "storage.PurgeCurrentExecutionFiles")
    again = await run(bench, "storage.PurgeCurrentExecutionFiles")

    assert {"uris": [own, "kestra:///company/team/my-flow/executions/e1/"]} == first.outputs
    assert {"uris": []} == again.outputs
    assert await bench.surroundings.storage.exists("main", other)


async def test_a_value_that_mixes_text_and_other_things_is_stored_as_text(bench: Bench) -> None:
    """A lone expression keeps its type; beside text a number or a list is printed."""
    await run(bench, "kv.Set", key="mixed", value="n={{ n }} {{ [1] }}")
    await run(bench, "kv.Set", key="lone", value="{{ [1, n] }}")
    mixed, lone = [(await run(bench, "kv.Get", key=key)).outputs["value"] for key in ("mixed", "lone")]

    assert "n=3 [1]" == mixed
    assert [1, 3] == lone


async def test_a_timeout_tells_where_the_task_was(bench: Bench) -> None:
    """The sentence at ERROR, and at TRACE the place, as of other failures."""
    outcome = await run(bench, "flow.Sleep", duration="PT1M", timeout="PT0.01S")

    told = [(line.level, line.message) for line in outcome.logs if line.message.startswith("Timeout")]
    assert ["TRACE", "ERROR"] == [level for level, _ in told]
    assert "sleep" in told[0][1]


async def test_a_templated_task_is_the_task_it_describes(bench: Bench) -> None:
    """The description is rendered first."""
    outcome = await run(
        bench, "templating.TemplatedTask", spec="type: io.kestra.plugin.core.debug.Return\nformat: '{{ n }}'"
    )

    assert {"value": "3"} == outcome.outputs


async def test_an_http_request_without_an_answer_fails_with_its_address(bench: Bench) -> None:
    """Nobody listens on the port; the sentence names it."""
    outcome = await run(
        bench, "http.Request", uri="http://127.0.0.1:1/x", options={"timeout": {"connectTimeout": "PT1S"}}
    )

    assert outcome.state is State.FAILED
    assert "http://127.0.0.1:1/x" in (outcome.error or "")


@pytest.mark.parametrize(
    ("kind", "properties", "sentence"),
    [
        ("storage.Concat", {"files": [None]}, "a list without nulls"),
        ("storage.Concat", {"files": [], "extension": "a\u0000"}, "not the extension of a file"),
        ("http.Request", {"uri": "http://127.0.0.1:1", "method": "é"}, "not a method of HTTP"),
        ("http.Request", {"uri": "http://127.0.0.1:1", "contentType": "é\u0000"}, "http://127.0.0.1:1"),
        ("kv.Set", {"key": "k", "value": "{{ '' }}", "kvType": "DATETIME"}, "is no datetime"),
        ("kv.Set", {"key": "k", "value": "2026-02-30", "kvType": "DATE"}, "is no date; write it as '2026-01-31'"),
        ("kv.Set", {"key": "k", "value": "5m", "kvType": "DURATION"}, "'5m' is not a duration"),
        ("kv.Set", {"key": "a b", "value": "x"}, "Key must start with an alphanumeric character"),
        ("http.Request", {"uri": "{{ 'a/b' }}"}, "'a/b' is not an address of HTTP"),
        ("http.Download", {"uri": "{{ '' }}"}, "'' is not an address of HTTP"),
        (
            "http.Request",
            {"uri": "http://a", "options": {"proxy": {"type": "HTTP", "address": "b", "port": 99_999}}},
            "The port of a proxy is 1 to 65535, but is 99999.",
        ),
        ("metric.Publish", {"metrics": [{"name": "a", "value": "{{ '' }}"}]}, "needs a 'name' and a 'value'"),
        ("metric.Publish", {"metrics": [{"name": "a", "value": 1, "tags": "b"}]}, "must be a map of texts"),
        ("metric.Publish", {"metrics": [{"name": "a", "value": 1, "type": "speed"}]}, "one of counter, timer, gauge"),
        ("metric.Publish", {"metrics": [{"name": "a", "value": "long", "type": "timer"}]}, "'long' is not a duration"),
        ("storage.Split", {"from": "kestra:///a", "bytes": "{{ 'many' }}"}, "'many' is not a size"),
    ],
)
async def test_what_makes_no_sense_fails_with_a_sentence(
    bench: Bench, kind: str, properties: dict[str, Any], sentence: str
) -> None:
    """Nulls among files, extensions that are none, methods that are none, empty dates: never an error of Python's."""
    outcome = await run(bench, kind, **properties)

    assert outcome.state is State.FAILED
    assert sentence in (outcome.error or "")


async def test_a_namespace_that_renders_to_nothing_is_refused(bench: Bench) -> None:
    """Its files would lie above those of every namespace; the sentence says what to check."""
    outcome = await run(bench, "namespace.UploadFiles", namespace="{{ null }}", filesMap={"a.txt": "text"})

    assert State.FAILED == outcome.state
    assert "Files of a namespace need its name, and it is empty" in str(outcome.error)
    assert [] == await bench.surroundings.storage.by_prefix("main", "/")


async def test_an_empty_text_is_one_too(bench: Bench) -> None:
    """A file may be empty, and so may a line of log: what must be there is the property."""
    assert not check_flow(EMPTY).problems

    written = await run(bench, "storage.Write", content="")
    logged = await run(bench, "log.Log", message="")

    assert b"" == await read(bench, written.outputs["uri"])
    assert State.SUCCESS == logged.state
