"""Where things lie, and which paths patterns mean."""

from __future__ import annotations

import pytest

from tiercel.errors import Refused
from tiercel.storage import uris
from tiercel.storage.hashing import murmur3
from tiercel.storage.patterns import PathPatterns


def test_every_kind_of_file_has_its_place() -> None:
    """The layout is that of reference 7.2: ids of flows and tasks are slugs, those of runs are not."""
    assert "/a/b/my-flow/executions/Exec1/tasks/task-1/Run1" == uris.task("a.b", "My_Flow", "Exec1", "Task_1", "Run1")
    assert "/a/f/executions/e/trigger/t" == uris.trigger("a", "f", "e", "T")
    assert "/a/f/executions/e/inputs/in/x.csv" == uris.input_file("a", "f", "e", "in", "x.csv")
    assert "/namespace/flowid/taskid/cache/cache.zip" == uris.cache("namespace", "flowid", "taskid")
    assert "/n/f/t/cache/7d04fd3bbbc0946dc06caf7356fdf051/cache.zip" == uris.cache("n", "f", "t", "value")
    assert "/io/kestra/_kv/k.ion" == uris.key_value("io.kestra", "k")
    assert "/io/kestra/_files/sub/x.sql" == uris.namespace_file("io.kestra", "./sub/x.sql")


def test_hashes_are_those_of_existing_installations() -> None:
    """Cached folders and states are found by this hash."""
    assert "52a21b70c71a4e7819b310ddc9f83874" == murmur3("random")


@pytest.mark.parametrize(("text", "slug"), [("test test ", "test-test"), ("--Test\t\t\ntest9*", "test-test9")])
def test_slugs_are_lower_case_words(text: str, slug: str) -> None:
    """Blanks become hyphens, everything else that is no letter or digit goes."""
    assert uris.slug(text) == slug


@pytest.mark.parametrize("text", ["http://a/b", "kestra:a", "/a/../b"])
def test_a_text_that_is_no_storage_uri_is_refused(text: str) -> None:
    """Only paths and URIs of internal storage name files in it."""
    with pytest.raises(Refused):
        uris.path_of(text)


@pytest.mark.parametrize(
    ("patterns", "base", "paths", "matched"),
    [
        (["**/*.txt"], None, ["/b/t.txt", "/b/s/t.txt", "/b/t.md"], ["/b/t.txt", "/b/s/t.txt"]),
        (["t.txt"], None, ["/b/t.txt", "/b/s/t.txt", "/b/x.txt"], ["/b/t.txt", "/b/s/t.txt"]),
        (["t.txt"], "/b", ["/b/t.txt", "/b/s/t.txt"], ["/b/t.txt"]),
        (["*.{csv,json}", "[!a].md"], "/", ["x.csv", "x.json", "a.md", "b.md"], ["x.csv", "x.json", "b.md"]),
        ([r"regex:.*\.tmp"], "/", ["a.tmp", "a.txt"], ["a.tmp"]),
        (["**"], "/", ["a", "b/c"], ["a", "b/c"]),
    ],
)
def test_patterns_mean_paths(patterns: list[str], base: str | None, paths: list[str], matched: list[str]) -> None:
    """Globs stay inside a folder unless they say `**`; without a base they are meant at any depth."""
    chosen = PathPatterns(patterns, base=base)

    assert [path for path in paths if chosen.match(path)] == matched
