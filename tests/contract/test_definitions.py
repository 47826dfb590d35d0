"""What every definition store promises."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import psycopg
import pytest

from tiercel.definitions.base import Definitions
from tiercel.definitions.memory import MemoryDefinitions
from tiercel.definitions.postgres.definitions import PostgresDefinitions
from tiercel.errors import Conflict, NotFound, Refused
from tiercel.flowspec.parse import parse_flow
from tiercel.model.flow import Flow


@pytest.fixture(params=["memory", "postgres"])
async def definitions(request: pytest.FixtureRequest) -> AsyncIterator[Definitions]:
    if request.param == "memory":
        yield MemoryDefinitions()
        return
    uri = request.getfixturevalue("postgres_database")
    async with await psycopg.AsyncConnection.connect(uri, autocommit=True) as connection:
        await connection.execute("TRUNCATE td.flow, td.revision")
    adapter = PostgresDefinitions(uri)
    yield adapter
    await adapter.close()


def flow(
    flow_id: str = "hello", namespace: str = "company.team", *, say: str = "hi", tenant: str = "main", extra: str = ""
) -> Flow:
    text = f"id: {flow_id}\nnamespace: {namespace}\n{extra}tasks:\n"
    text += f"  - id: say\n    type: io.kestra.plugin.core.log.Log\n    message: {say}\n"
    return parse_flow(text, tenant_id=tenant)


async def test_a_new_flow_has_revision_one(definitions: Definitions) -> None:
    """It is found parsed, and as a row with the author's text."""
    made = await definitions.create(flow())

    found = await definitions.flow("main", "company.team", "hello")
    row = await definitions.row("main", "company.team", "hello")

    assert 1 == made.revision
    assert made == found
    assert row is not None
    assert (1, made.source, False) == (row.revision, row.source, row.deleted)


async def test_what_is_unknown_is_none(definitions: Definitions) -> None:
    """Flow, revision and tenant."""
    await definitions.create(flow())

    assert None is await definitions.flow("main", "company.team", "other")
    assert None is await definitions.flow("main", "company.team", "hello", 2)
    assert None is await definitions.row("other", "company.team", "hello")
    assert [] == await definitions.revisions("main", "company.team", "other")


async def test_a_flow_that_exists_cannot_be_created(definitions: Definitions) -> None:
    """Conflict says to update it."""
    await definitions.create(flow())

    with pytest.raises(Conflict, match="exists already"):
        await definitions.create(flow(say="bye"))


async def test_a_changed_text_is_the_next_revision(definitions: Definitions) -> None:
    """The same text makes none; former revisions stay as they were."""
    await definitions.create(flow())
    second = await definitions.update(flow(say="bye"))
    again = await definitions.update(flow(say="bye"))

    assert (2, 2) == (second.revision, again.revision)
    assert [1, 2] == [row.revision for row in await definitions.revisions("main", "company.team", "hello")]
    first = await definitions.flow("main", "company.team", "hello", 1)
    last = await definitions.flow("main", "company.team", "hello")
    assert first is not None
    assert ("message: hi" in first.source, second) == (True, last)


async def test_revisions_are_forgotten_but_never_the_last(definitions: Definitions) -> None:
    """What is gone is told, what is unknown is not; the next revision counts on."""
    await definitions.create(flow())
    await definitions.update(flow(say="bye"))
    await definitions.update(flow(say="again"))

    assert [1] == await definitions.forget_revisions("main", "company.team", "hello", [1, 3, 7])
    assert [] == await definitions.forget_revisions("other", "company.team", "hello", [2])

    assert [2, 3] == [row.revision for row in await definitions.revisions("main", "company.team", "hello")]
    assert None is await definitions.row("main", "company.team", "hello", 1)
    assert 4 == (await definitions.update(flow(say="more"))).revision


async def test_an_unknown_flow_cannot_be_updated(definitions: Definitions) -> None:
    """Nor can a deleted one."""
    with pytest.raises(NotFound):
        await definitions.update(flow())
    await definitions.create(flow())
    await definitions.delete("main", "company.team", "hello")
    with pytest.raises(NotFound):
        await definitions.update(flow(say="bye"))


async def test_a_deleted_flow_is_a_revision(definitions: Definitions) -> None:
    """It is seen only by who asks for deleted ones; older revisions can still be read."""
    await definitions.create(flow())
    gone = await definitions.delete("main", "company.team", "hello")

    assert gone is not None
    assert (2, True) == (gone.revision, gone.deleted)
    assert None is await definitions.flow("main", "company.team", "hello")
    assert None is await definitions.row("main", "company.team", "hello")
    seen = await definitions.flow("main", "company.team", "hello", deleted=True)
    assert seen is not None
    assert (2, True) == (seen.revision, seen.deleted)
    old = await definitions.flow("main", "company.team", "hello", 1)
    assert old is not None
    assert None is await definitions.delete("main", "company.team", "hello")
    assert None is await definitions.delete("main", "company.team", "other")


async def test_a_deleted_flow_can_be_created_again(definitions: Definitions) -> None:
    """Revisions go on counting."""
    await definitions.create(flow())
    await definitions.delete("main", "company.team", "hello")

    again = await definitions.create(flow(say="again"))

    assert (3, again) == (again.revision, await definitions.flow("main", "company.team", "hello"))


async def test_what_is_published_is_the_last_that_is_no_draft(definitions: Definitions) -> None:
    """A draft is the last revision, and is not run; its text is published as a revision of its own."""
    name = ("main", "company.team", "hello")
    draft = msgspec.structs.replace(flow(say="draft"), draft=True)
    only = msgspec.structs.replace(flow("only"), draft=True)
    await definitions.create(flow())
    await definitions.create(only)
    await definitions.update(draft)

    last, published = await definitions.flow(*name), await definitions.published(*name)
    assert last is not None
    assert published is not None
    assert (2, True, 1, False) == (last.revision, last.draft, published.revision, published.draft)
    assert None is await definitions.published("main", "company.team", "only")
    assert [("hello", 1)] == [(row.id, row.revision) for row in await definitions.active()]
    assert 2 == (await definitions.search("main"))[1]
    assert [] == await definitions.forget_revisions(*name, [1, 2])

    assert 2 == (await definitions.update(draft)).revision
    assert 3 == (await definitions.update(flow(say="draft"))).revision
    assert 3 == (await definitions.update(draft)).revision
    await definitions.delete(*name)

    assert None is await definitions.published(*name)
    assert [] == await definitions.active()


async def test_a_draft_of_a_deleted_flow_publishes_nothing(definitions: Definitions) -> None:
    """What had been published before is gone with it."""
    name = ("main", "company.team", "hello")
    await definitions.create(flow())
    await definitions.delete(*name)
    await definitions.create(msgspec.structs.replace(flow(), draft=True))

    assert None is await definitions.published(*name)
    assert [] == await definitions.active()


async def test_tenants_do_not_see_each_other(definitions: Definitions) -> None:
    """The tenant leads every key."""
    await definitions.create(flow())
    await definitions.create(flow(tenant="other", say="theirs"))

    mine, total = await definitions.search("main")

    assert (["main"], 1) == ([row.tenant_id for row in mine], total)
    assert ["main", "other"] == sorted(row.tenant_id for row in await definitions.active())


async def test_search_finds_by_words_namespace_and_labels(definitions: Definitions) -> None:
    """A namespace includes those below it, not those that only begin like it."""
    await definitions.create(flow("load", "company", extra="labels:\n  team: a\n  env: prod\n"))
    await definitions.create(
        flow("transform", "company.team", extra="description: Turns 100% of Rows\nlabels:\n  team: a\n")
    )
    await definitions.create(flow("load", "companyother"))
    await definitions.create(flow("gone", "company"))
    await definitions.delete("main", "company", "gone")

    async def names(**about: object) -> list[str]:
        rows, total = await definitions.search("main", **about)
        assert total == len(rows)
        return [f"{row.namespace}.{row.id}" for row in rows]

    assert ["company.load", "company.team.transform", "companyother.load"] == await names()
    assert ["company.load", "company.team.transform"] == await names(namespace="company")
    assert ["company.team.transform"] == await names(namespace="company.team")
    assert ["company.team.transform"] == await names(query="TURNS rows")
    assert ["company.team.transform"] == await names(query="0% ")
    assert [] == await names(query="100%x")
    assert ["company.load", "companyother.load"] == await names(query="Load")
    assert ["company.load"] == await names(labels={"team": "a", "env": "prod"})
    assert [] == await names(labels={"team": "b"})


async def test_search_is_paged_and_sorted(definitions: Definitions) -> None:
    """The total counts all pages; what is equal is sorted by namespace and id."""
    for name in ("c", "a", "b"):
        await definitions.create(flow(name))
    await definitions.update(flow("b", say="bye"))

    async def page(number: int, sort: tuple[tuple[str, bool], ...]) -> tuple[list[str], int]:
        rows, total = await definitions.search("main", sort=sort, page=number, size=2)
        return [row.id for row in rows], total

    assert (["a", "b"], 3) == await page(1, ())
    assert (["c"], 3) == await page(2, (("id", True),))
    assert (["c", "b"], 3) == await page(1, (("id", False),))
    assert (["b", "a"], 3) == await page(1, (("revision", False),))
    with pytest.raises(Refused, match="cannot be sorted by 'source; DROP'"):
        await page(1, (("source; DROP", True),))


async def test_namespaces_are_those_with_flows(definitions: Definitions) -> None:
    """Deleted flows do not count."""
    await definitions.create(flow("a", "z"))
    await definitions.create(flow("b", "a.b"))
    await definitions.create(flow("c", "gone"))
    await definitions.delete("main", "gone", "c")

    assert ["a.b", "z"] == await definitions.namespaces("main")


async def test_another_process_sees_a_change_when_told(postgres_database: str) -> None:
    """`forget` makes the next look-up ask the database."""
    mine, theirs = PostgresDefinitions(postgres_database), PostgresDefinitions(postgres_database)
    await mine.create(flow("told"))
    await theirs.flow("main", "company.team", "told")
    await mine.update(flow("told", say="bye"))

    theirs.forget("main", "company.team", "told")

    found = await theirs.flow("main", "company.team", "told")
    assert found is not None
    assert 2 == found.revision
    await mine.close()
    await theirs.close()
