"""The same system with its files in a bucket, by settings alone: it works, waits while the store is away, says why."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from minio import Minio

from backing.minio import MinioServer
from tests.acceptance.installation import Installation
from tests.patience import until
from tiercel.errors import Unavailable
from tiercel.testing.server import StandaloneServer

BUCKET = "tiercel-acceptance"
FILES = """\
id: files
namespace: bad
tasks:
  - id: make
    type: io.kestra.plugin.scripts.shell.Commands
    taskRunner:
      type: io.kestra.plugin.core.runner.Process
    outputFiles: [made.bin]
    commands:
      - echo made
      - head -c 20000000 /dev/zero > made.bin
  - id: pause
    type: io.kestra.plugin.core.flow.Pause
  - id: take
    type: io.kestra.plugin.scripts.shell.Commands
    taskRunner:
      type: io.kestra.plugin.core.runner.Process
    inputFiles:
      taken.bin: "{{ outputs.make.outputFiles['made.bin'] }}"
    commands:
      - 'echo "::{\\"outputs\\":{\\"bytes\\":$(stat -c %s taken.bin)}}::"'
outputs:
  - id: bytes
    type: INT
    value: "{{ outputs.take.vars.bytes }}"
"""
AT_ONCE = FILES.replace("id: files", "id: at-once").replace(
    "  - id: pause\n    type: io.kestra.plugin.core.flow.Pause\n", ""
)


@pytest.fixture(scope="module")
def environment(minio_server: MinioServer) -> dict[str, str]:
    return minio_server.address.environment(BUCKET)


async def test_files_go_to_the_bucket_and_come_back(installation: Installation, minio_server: MinioServer) -> None:
    """Nothing is on the disk of the processes, and the bytes are counted."""
    execution = await installation.run(AT_ONCE, "at-once")

    assert "SUCCESS" == execution["state"]["current"]
    assert 20_000_000 == execution["outputs"]["bytes"]
    assert not (installation.server.data / "storage").exists()
    place = minio_server.address.endpoint.partition("://")[2]
    client = Minio(place, minio_server.address.access_key, minio_server.address.secret_key, secure=False)
    stored = [found.size for found in client.list_objects(BUCKET, prefix="main/bad/at-once/", recursive=True)]
    assert 20_000_000 in stored
    for direction in ("written", "read"):
        counted = await installation.metric("worker", "tiercel_storage_bytes_total", direction=direction)
        assert counted is not None
        assert counted >= 20_000_000


async def test_while_the_store_is_away_everything_waits_and_says_so(
    installation: Installation, minio_server: MinioServer
) -> None:
    """Tasks end well, once, when it is back; `/health` names the store and the setting meanwhile."""
    source = AT_ONCE.replace("id: at-once", "id: waiting").replace("- echo made", "- echo made\n      - sleep 2")
    await installation.put(source)
    execution_id = await installation.start("waiting")
    await installation.said(execution_id, "made")

    await asyncio.to_thread(minio_server.kill)
    await until(lambda: installation.all_say(503), "everybody to be unwell")
    _, said = await installation.health("worker")
    await asyncio.to_thread(minio_server.start)

    assert "'storage.s3.endpoint'" in said["details"]["storage"]["details"]
    execution = await installation.ended(execution_id)
    assert "SUCCESS" == execution["state"]["current"]
    assert [1, 1] == [len(run["attempts"]) for run in execution["taskRunList"]]
    await until(lambda: installation.all_say(200), "everybody to be well")


async def test_a_task_that_reads_a_vanished_file_fails_with_its_uri(
    installation: Installation, minio_server: MinioServer
) -> None:
    """The author sees which file is not there any more."""
    await installation.put(FILES)
    execution_id = await installation.start("files")

    async def paused() -> str | None:
        execution = await installation.execution(execution_id)
        made = [run for run in execution.get("taskRunList") or [] if run["taskId"] == "make"]
        return made[0]["outputs"]["outputFiles"]["made.bin"] if execution["state"]["current"] == "PAUSED" else None

    uri = await until(paused, "the execution to pause")
    place = minio_server.address.endpoint.partition("://")[2]
    client = Minio(place, minio_server.address.access_key, minio_server.address.secret_key, secure=False)
    client.remove_object(BUCKET, uri.replace("kestra:///", "main/"))
    answer = await installation.http.post(f"/api/v1/main/executions/{execution_id}/resume")
    assert answer.status_code < 300, answer.text

    execution = await installation.ended(execution_id)
    assert "FAILED" == execution["state"]["current"]
    await installation.said(execution_id, f"File '{uri}' does not exist in internal storage.")


def test_a_wrong_secret_ends_the_start_with_the_settings_name(minio_server: MinioServer, tmp_path: Path) -> None:
    """The supervisor does not try for ever what only the operator can mend."""
    environment = {**minio_server.address.environment(BUCKET), "TIERCEL_STORAGE_S3_SECRET_KEY": "wrong-secret"}
    server = StandaloneServer(tmp_path, environment=environment)

    with pytest.raises(Unavailable, match=r"correct 'storage\.s3\.secret-key'"):
        server.start()
