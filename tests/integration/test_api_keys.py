"""Key-value pairs through the API: which revision a value is, and how keys are listed."""

from __future__ import annotations

from tests.integration.api_stage import Stage


async def test_a_value_says_which_revision_it_is(stage: Stage) -> None:
    """One more with each change; lists say it too."""
    for text in ("1", "2"):
        await stage.call("PUT", "namespaces/dev/kv/a", content=text)

    found = await stage.call("GET", "namespaces/dev/kv/a")
    (listed,) = await stage.call("GET", "namespaces/dev/kv")

    assert ("NUMBER", 2, 2) == (found["type"], found["value"], found["revision"])
    assert (2, listed["updateDate"]) == (listed["revision"], found["updated"])


async def test_keys_are_sorted_by_what_is_known_of_them(stage: Stage) -> None:
    """By anything that is shown of a key, and by nothing else."""
    for key, description in (("b", None), ("a", "last"), ("a", "later")):
        headers = {"description": description} if description else {}
        await stage.call("PUT", f"namespaces/dev/kv/{key}", content="1", headers=headers)

    for sort, expected in (("key:asc", "ab"), ("key:desc", "ba"), ("revision:asc", "ba"), ("description:asc", "ab")):
        found = await stage.call("GET", f"kv?filters[namespace][EQUALS]=dev&sort={sort}")
        assert (sort, expected) == (sort, "".join(each["key"] for each in found["results"]))

    refused = await stage.call("GET", "kv?sort=last:asc", 422)
    assert "Keys cannot be sorted by 'last'" in refused["message"]


async def test_a_value_that_could_not_live_is_refused(stage: Stage) -> None:
    """With no time to live, or in a namespace that cannot be; nothing is stored."""
    for ttl in ("-PT1H", "PT0S"):
        refused = await stage.call("PUT", "namespaces/dev/kv/a", 422, content="1", headers={"ttl": ttl})
        assert f"'{ttl}' is no time to live" in refused["message"]
    for name in ("-dev", "d e v", "a" * 151):
        refused = await stage.call("PUT", f"namespaces/{name}/kv/a", 422, content="1")
        assert "cannot be a namespace" in refused["message"]

    await stage.call("PUT", "namespaces/Dev/kv/a", content="1")

    assert [] == await stage.call("GET", "namespaces/dev/kv")
