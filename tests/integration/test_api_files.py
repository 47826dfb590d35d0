"""Files of namespaces through the API: revisions, archives, moves."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from tests.integration.api_stage import BASE, Stage

NAMESPACE = "company.team"
FILES = f"namespaces/{NAMESPACE}/files"


def packed(files: Mapping[str, bytes], *, encrypted: bool = False) -> bytes:
    """Return an archive of files; one that says that they are encrypted when asked to."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        for entry in archive.infolist():
            entry.flag_bits |= encrypted
    return buffer.getvalue()


async def put(stage: Stage, path: str, content: bytes, name: str = "file", status: int = 200) -> str:
    sent = {"fileContent": (name, content)}
    return str(await stage.call("POST", f"{FILES}?path={path}", status, files=sent))


async def test_a_file_is_read_as_it_was(stage: Stage) -> None:
    """By the number of a revision, also after it was deleted; an unknown one is not there."""
    await put(stage, "/a.txt", b"one")
    await put(stage, "/a.txt", b"two")

    revisions = await stage.call("GET", f"{FILES}/revisions?path=/a.txt")
    assert [(1, 3), (2, 3)] == [(each["revision"], each["size"]) for each in revisions]
    assert "two" == await stage.call("GET", f"{FILES}?path=/a.txt")
    assert "one" == await stage.call("GET", f"{FILES}?path=/a.txt&revision=1")
    await stage.call("GET", f"{FILES}?path=/a.txt&revision=9", 404)

    await stage.call("DELETE", f"{FILES}?path=/a.txt")

    await stage.call("GET", f"{FILES}?path=/a.txt", 404)
    assert "two" == await stage.call("GET", f"{FILES}?path=/a.txt&revision=2")
    await stage.call("GET", f"{FILES}/revisions?path=/never.txt", 404)


async def test_an_archive_is_unpacked_into_its_folder(stage: Stage) -> None:
    """What is no archive, and names that lead out, are refused with a sentence."""
    await put(stage, "/in/", packed({"sub/a.txt": b"packed"}), "files.zip")

    assert "packed" == await stage.call("GET", f"{FILES}?path=/in/sub/a.txt")
    assert "not a zip archive" in await put(stage, "/in/", b"no zip", "files.zip", 422)
    assert ".." in await put(stage, "/in/", packed({"../../x.txt": b"out"}), "files.zip", 422)


async def test_no_file_lies_in_the_folder_of_flows(stage: Stage) -> None:
    """Archives bring flows there; a flow that is put there becomes one of the namespace, whatever it says itself."""
    flow = b"id: moved\nnamespace: elsewhere\ntasks:\n  - {id: t, type: io.kestra.plugin.core.log.Log, message: hi}\n"
    await put(stage, "/a.txt", b"one")
    for path in ("/_flows", "/_flows/a.yml", "/./_flows/a.yml", "//_flows/a.yml"):
        for method, address in (
            ("GET", f"{FILES}?path={path}"),
            ("GET", f"{FILES}/stats?path={path}"),
            ("GET", f"{FILES}/directory?path={path}"),
            ("POST", f"{FILES}/directory?path={path}"),
            ("PUT", f"{FILES}?from=/a.txt&to={path}"),
            ("PUT", f"{FILES}?from={path}&to=/b.txt"),
            ("DELETE", f"{FILES}?path={path}"),
        ):
            refused = await stage.call(method, address, 422)
            assert f"Illegal argument: Forbidden path: {path}" == refused["message"]

    await put(stage, "/_flows/moved.yml", flow)

    assert NAMESPACE == (await stage.call("GET", f"flows/{NAMESPACE}/moved"))["namespace"]
    assert "Invalid flow file path" in await put(stage, "/_flows/deeper/moved.yml", flow, status=422)
    assert "Invalid entity" in await put(stage, "/_flows/moved.yml", b"id: x", status=422)


async def test_an_exported_namespace_is_imported_into_another(stage: Stage) -> None:
    """Its files and its flows; nothing is taken when one of the flows is wrong."""
    flow = (
        f"id: shown\nnamespace: {NAMESPACE}\ntasks:\n  - {{id: t, type: io.kestra.plugin.core.log.Log, message: hi}}\n"
    )
    await put(stage, "/sub/a.txt", b"one")
    await stage.call("POST", "flows", content=flow)
    await stage.call("POST", "flows", content=flow.replace(NAMESPACE, f"{NAMESPACE}.child"))

    exported = (await stage.http.get(f"{BASE}/{FILES}/export")).content
    with zipfile.ZipFile(io.BytesIO(exported)) as archive:
        assert ["_flows/shown.yml", "sub/a.txt"] == sorted(archive.namelist())
    other = FILES.replace(NAMESPACE, "other")
    await stage.call("POST", f"{other}?path=/x", files={"fileContent": ("files.zip", exported)})

    assert "one" == await stage.call("GET", f"{other}?path=/sub/a.txt")
    assert "other" == (await stage.call("GET", "flows/other/shown"))["namespace"]
    wrong = packed({"b.txt": b"two", "_flows/x.yml": b"id: x"})
    await stage.call("POST", f"{other}?path=/x", 422, files={"fileContent": ("files.zip", wrong)})
    await stage.call("GET", f"{other}?path=/b.txt", 404)


async def test_a_moved_folder_keeps_its_revisions(stage: Stage) -> None:
    """Nothing is overwritten by a move."""
    await put(stage, "/old/a.txt", b"one")
    await put(stage, "/old/a.txt", b"two")
    await put(stage, "/taken.txt", b"x")

    await stage.call("PUT", f"{FILES}?from=/old&to=/new")

    assert "one" == await stage.call("GET", f"{FILES}?path=/new/a.txt&revision=1")
    await stage.call("PUT", f"{FILES}?from=/new/a.txt&to=/taken.txt", 409)


async def test_what_can_be_no_place_for_a_file_is_refused(stage: Stage) -> None:
    """A folder within itself, a path below a file, and that of a folder; nothing is left of the attempts."""
    await put(stage, "/old/a.txt", b"one")
    await put(stage, "/file.txt", b"x")

    inside = await stage.call("PUT", f"{FILES}?from=/old&to=/old/new/deeper", 409)
    below = await stage.call("PUT", f"{FILES}?from=/old&to=/file.txt/old", 422)
    folder = await put(stage, "/old", b"x", status=422)

    assert "Conflict: '/old' cannot be moved to '/old/new/deeper', which is below it." == inside["message"]
    assert "Illegal argument: 'file.txt' is a file; nothing can be stored below it." == below["message"]
    assert "'old' is a folder; a file cannot take its place." in folder
    assert ["/file.txt", "/old/a.txt"] == sorted(await stage.call("GET", f"{FILES}/search?q="))
    names = [each["fileName"] for each in await stage.call("GET", f"{FILES}/directory?path=/old")]
    assert ["a.txt"] == names


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "flows", (413, 5120)),
        ("PUT", "namespaces/company.team/kv/key", (413, 5120)),
        ("POST", "expressions/render", (413, 5120)),
        ("DELETE", "executions/by-ids", (413, 5120)),
        ("POST", "executions/company.team/none", (404, 0)),
        ("POST", "executions/webhook/company.team/none/key", (404, 0)),
    ],
)
async def test_a_body_is_read_no_further_than_it_may_be(
    tmp_path: Path, method: str, path: str, expected: tuple[int, int]
) -> None:
    """Whoever reads it: what comes in pieces without an end would fill the memory before anybody looks at it."""
    stage = Stage(tmp_path, body_max=4096)
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 1 << 20:
            sent += 1024
            yield b"#" * 1024

    answer = await stage.http.request(method, f"/api/v1/main/{path}", content=pieces())

    assert expected == (answer.status_code, sent)
    await stage.close()


@pytest.mark.parametrize(
    ("name", "content", "status", "reason"),
    [
        ("flows.zip", packed({"a.yaml": b"#" * 5000}), 422, "more than"),
        ("flows.zip", packed({f"{n}.yaml": b"" for n in range(10_001)}), 422, "more than"),
        ("flows.zip", packed({"a.yaml": b"#" * 500}, encrypted=True), 422, "encrypted"),
        ("flows.yaml", b"#" * 5000, 413, "larger than"),
        ("flows.bin", b"\x00\x01", 422, "neither a zip archive nor YAML"),
        ("flows.yaml", b"{a: [", 422, "neither a zip archive nor YAML"),
        ("flows.yaml", b"hello", 422, "holds no flow"),
        ("flows.yaml", b"", 422, "holds no flow"),
    ],
)
async def test_what_is_imported_is_bounded(tmp_path: Path, name: str, content: bytes, status: int, reason: str) -> None:
    """A small archive may hold very much: nothing is unpacked that is larger than a body; and it must hold flows."""
    stage = Stage(tmp_path, body_max=4096)

    refused = await stage.call("POST", "flows/import", status, files={"fileUpload": (name, content)})

    assert reason in refused["message"]
    await stage.close()


async def test_a_folder_goes_with_its_last_file(stage: Stage) -> None:
    """And those above it that hold nothing else."""
    await put(stage, "/a/b/c.txt", b"one")
    await put(stage, "/a/d.txt", b"two")

    await stage.call("DELETE", f"{FILES}?path=/a/b/c.txt")

    assert ["d.txt"] == [each["fileName"] for each in await stage.call("GET", f"{FILES}/directory?path=/a")]


async def test_every_namespace_has_the_folder_of_its_files(stage: Stage) -> None:
    """Another folder that is not there is said by its path, and not by its place in the storage."""
    root = await stage.call("GET", f"{FILES}/stats")
    missing = await stage.call("GET", f"{FILES}/directory?path=/nowhere", 404)

    assert ("_files", "Directory") == (root["fileName"], root["type"])
    assert "Not Found: Directory not found: /nowhere" == missing["message"]
    assert not await stage.storage.exists("main", "/company/team/_files")  # to ask changes nothing


async def test_files_are_not_stored_where_no_namespace_can_be(stage: Stage) -> None:
    """Nothing is left of what was refused."""
    for name in ("-a", "a b", "a" * 151, "*"):
        files = f"namespaces/{name}/files"
        for method, path in (("POST", "?path=/a"), ("POST", "/directory?path=/a"), ("PUT", "?from=/a&to=/b")):
            sent = {"fileContent": ("a", b"a")} if path == "?path=/a" else None
            refused = await stage.call(method, files + path, 422, files=sent)
            assert "cannot be a namespace" in refused["message"]

    assert [] == await stage.storage.by_prefix("main", "/")
