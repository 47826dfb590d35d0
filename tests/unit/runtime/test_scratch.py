"""Temporary folders: a live process keeps its own, a dead one's are removed by the next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tiercel.runtime import scratch
from tiercel.runtime.scratch import Scratch


def left_by_a_killed_process(parent: Path) -> Path:
    """Return the folder of a process that was killed while it used it."""
    program = (
        "import sys; from pathlib import Path; from tiercel.runtime.scratch import Scratch\n"
        "made = Scratch('worker', Path(sys.argv[1])); (made.path / 'file').write_text('x')\n"
        "print(made.path, flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", program, str(parent)], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        path = Path(process.stdout.readline().strip())
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (path / "file").exists()
    return path


def test_the_folder_of_a_killed_process_is_removed_by_the_next_that_makes_one(tmp_path: Path) -> None:
    """Its lock went with it; folders of the living stay."""
    dead = left_by_a_killed_process(tmp_path)

    with Scratch("worker", tmp_path) as first, Scratch("socket", tmp_path) as second:
        left = sorted(path.name for path in tmp_path.iterdir())

        assert sorted([first.name, second.name]) == left
        assert (True, False) == (scratch.is_alive(first.name, tmp_path), scratch.is_alive(dead.name, tmp_path))


def test_folders_and_files_of_others_stay(tmp_path: Path) -> None:
    """Only a folder with a name of ours is swept; no link is followed."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    (tmp_path / "tiercel-worker-1-0123456789ab").symlink_to(elsewhere)
    (tmp_path / "tiercel-worker-2-0123456789ab").write_text("a file")
    (tmp_path / "tiercel-cache-0").mkdir()
    before = sorted(tmp_path.rglob("*"))

    assert 0 == scratch.sweep(tmp_path)

    assert before == sorted(tmp_path.rglob("*"))


def test_at_the_end_the_folder_is_gone(tmp_path: Path) -> None:
    """Closed by hand, left by `with`, or used by nobody any more."""
    closed = Scratch("one", tmp_path)
    (closed.path / "file").touch()
    closed.close()
    with Scratch("two", tmp_path):
        pass
    Scratch("three", tmp_path)

    assert [] == list(tmp_path.iterdir())


def test_a_forked_process_does_not_remove_the_folder_of_its_parent(tmp_path: Path) -> None:
    """It holds the same object, but the folder is not its own."""
    own = Scratch("own", tmp_path)
    child = os.fork()
    if child == 0:
        own.close()
        os._exit(0)
    os.waitpid(child, 0)

    assert own.path.exists()
    assert scratch.is_alive(own.path.name, tmp_path)


def test_a_name_that_is_none_is_not_alive(tmp_path: Path) -> None:
    """What labels of containers say comes from outside."""
    assert not scratch.is_alive("../../etc", tmp_path)
    assert not scratch.is_alive("tiercel-sign-1-0123456789ab", tmp_path)


def test_where_no_folder_is_nothing_is_removed(tmp_path: Path) -> None:
    """A worker may look before the folder of its tasks is made, or after it is gone."""
    assert 0 == scratch.sweep(tmp_path / "missing")
