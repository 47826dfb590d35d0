"""
All processes on one machine: `tiercel server standalone`.

The supervisor loads what the services need, then forks one child for each, so that they share its memory pages; it
has no thread and no event loop of its own. A child that dies is started again, with growing pauses. Children die with
the supervisor, however it dies. Without an address of PostgreSQL it starts one of its own, which it stops last.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from tiercel import assembly
from tiercel.assembly import Lineage
from tiercel.errors import InternalError, InvalidSettings, OperatorError
from tiercel.model import ids
from tiercel.runtime import logging as logs
from tiercel.runtime import process, wiring
from tiercel.runtime.embedded import HISTORY_DATABASE, EmbeddedPostgres
from tiercel.runtime.kinship import end_with_parent
from tiercel.runtime.settings import Settings

log = logging.getLogger(__name__)

START_ORDER: Final = ("executor", "indexer", "worker", "scheduler", "webserver")
STOP_ORDER: Final = (("webserver", "scheduler"), ("worker",), ("executor",), ("indexer",))
"""Who makes work stops first, who writes it down last."""
BACKOFF_FIRST_S: Final = 0.1
"""Before the first new start of a child that has died; each failure doubles it."""
BACKOFF_MAX_S: Final = 10.0
"""A service whose cause is mended is back within this time."""
STEADY_S: Final = 60.0
"""A child that lived this long was well: its next pause is the first one again."""
KILL_AFTER_S: Final = 10.0
"""Beyond the grace that the service itself keeps."""
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Child:
    """One service's process, and when it may be started again."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pid: int | None = None
        self.lineage = Lineage(ids.new_id())
        self.ready = False
        self.started_at = 0.0
        self.failures = 0
        self.start_at = 0.0

    def died(self, now: float) -> None:
        self.lineage = Lineage(ids.new_id(), predecessor=self.lineage.instance)
        self.failures = 1 if now - self.started_at > STEADY_S else self.failures + 1
        self.start_at = now + min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** (self.failures - 1))
        self.pid, self.ready = None, False


class Supervisor:
    """Keeps the children alive until it is asked to stop."""

    def __init__(self, settings: Settings, *, embedded: EmbeddedPostgres | None, on_ready: Callable[[], None]) -> None:
        self._settings = settings
        self._embedded = embedded
        self._on_ready = on_ready
        self.children = {name: Child(name) for name in START_ORDER}
        self._selector = selectors.DefaultSelector()
        self._announced = False
        self._stop_signals = 0
        self._exit_code = process.EXIT_OK

    def run(self) -> int:
        """Start everybody and watch over them; return the exit code when everybody has stopped."""
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in _STOP_SIGNALS:
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only to be woken
        self._selector.register(wake_read, selectors.EVENT_READ, None)
        gc.collect()
        gc.freeze()
        while not self._stop_signals:
            self._start_due()
            self._watch(self._next_pause())
        self._stop_all()
        return self._exit_code

    def _on_stop(self, *_: object) -> None:
        self._stop_signals += 1

    def _start_due(self) -> None:
        now = time.monotonic()
        if self._embedded is not None and self._embedded.pid is None:
            log.warning("PostgreSQL ended, starting it again", extra={"action": "postgres_restarted"})
            self._embedded.restart()
        for child in self.children.values():
            if child.pid is None and child.start_at <= now:
                self._fork(child)

    def _next_pause(self) -> float | None:
        pauses = [child.start_at - time.monotonic() for child in self.children.values() if child.pid is None]
        return max(0.0, min(pauses)) if pauses else None

    def _watch(self, timeout: float | None) -> None:
        """Wait for a signal, a child's word that it is ready, or the time of a start."""
        for key, _ in self._selector.select(timeout):
            said = os.read(key.fd, 512)
            child = key.data
            if child is None:
                continue
            self._selector.unregister(key.fd)
            os.close(key.fd)
            child.ready = child.ready or bool(said)
        self._reap()
        if not self._announced and all(child.ready for child in self.children.values()):
            self._announced = True
            self._on_ready()

    def _reap(self) -> None:
        for child in self.children.values():
            if child.pid is None:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid == 0:
                continue
            code = os.waitstatus_to_exitcode(status)
            level = logging.DEBUG if self._stop_signals else logging.WARNING
            log.log(level, "process ended", extra={"action": "process_ended", "ended": child.name, "exit_code": code})
            child.died(time.monotonic())
            if code == process.EXIT_SETTINGS and not self._announced:
                self._exit_code = code  # starting again would not help
                self._stop_signals += 1

    def _fork(self, child: Child) -> None:
        ready_read, ready_write = os.pipe()
        supervisor = os.getpid()
        child.started_at = time.monotonic()
        sys.stdout.flush()
        child.pid = os.fork()
        if child.pid == 0:
            code = process.EXIT_FAILED
            try:
                code = self._live_as(child, supervisor, ready_write)
            finally:
                os._exit(code)
        os.close(ready_write)
        self._selector.register(ready_read, selectors.EVENT_READ, child)

    def _live_as(self, child: Child, supervisor: int, ready: int) -> int:
        """Be a service, from the fork to the end of the process."""
        end_with_parent()
        if os.getppid() != supervisor:  # it died before we could ask for its death's signal
            return process.EXIT_FAILED
        signal.set_wakeup_fd(-1)
        for number in (*_STOP_SIGNALS, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.setpgid(0, 0)  # Ctrl-C reaches the supervisor's group; it is the supervisor who tells us, in order
        self._selector.close()
        name, settings = child.name, _settings_of(child.name, self._settings)
        assembled = assembly.assemble(name, settings, child.lineage)
        return process.run(name, settings, assembled, on_ready=lambda: _say_ready(ready))

    def _stop_all(self) -> None:
        log.info("stopping", extra={"action": "standalone_stopping"})
        grace = self._settings.server.termination_grace.total_seconds() + KILL_AFTER_S
        for names in STOP_ORDER:
            leaving = [self.children[name] for name in names if self.children[name].pid is not None]
            for child in leaving:
                _signal(child, signal.SIGTERM)
            deadline = time.monotonic() + grace
            while any(child.pid is not None for child in leaving):
                if time.monotonic() > deadline or self._stop_signals > 1:
                    for child in leaving:
                        _signal(child, signal.SIGKILL)
                self._watch(0.2)
        if self._embedded is not None:
            self._embedded.stop()


def _signal(child: Child, number: signal.Signals) -> None:
    if child.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, number)


def _say_ready(pipe: int) -> None:
    os.write(pipe, b"ready")
    os.close(pipe)


def _settings_of(name: str, settings: Settings) -> Settings:
    """Give each process its own management port: the first one is the webserver's."""
    first = settings.server.management_port
    order = ("webserver", *(other for other in START_ORDER if other != "webserver"))
    server = msgspec.structs.replace(settings.server, management_port=first + order.index(name) if first else 0)
    api = settings.api
    if api.url is None:
        # All processes are on this machine: the way over the public address would only be longer.
        api = msgspec.structs.replace(api, url=msgspec.structs.replace(settings, url=None).api_url)
    return msgspec.structs.replace(settings, server=server, api=api)


def run(settings: Settings) -> int:
    """Start everything, stay until asked to stop; return the exit code."""
    began = time.monotonic()
    logs.configure(form=settings.logging.format, level=settings.logging.level, service="standalone")
    if settings.queue.type == "memory":
        raise InvalidSettings("Processes cannot share 'queue.type: memory'; leave it out, and PostgreSQL is used.")
    for warning in settings.warnings:
        log.warning("%s", warning, extra={"action": "setting_ignored"})
    embedded = EmbeddedPostgres(Path(settings.data)) if settings.postgres.url is None else None
    try:
        if embedded is not None:
            embedded.start()
            settings = _with_addresses(settings, embedded)
        for name in START_ORDER:
            assembly.preload(name)
        _in_child(lambda: wiring.migrate_now(settings))
        supervisor = Supervisor(settings, embedded=embedded, on_ready=lambda: _announce(settings, began))
        return supervisor.run()
    finally:
        if embedded is not None:
            embedded.stop()


def _with_addresses(settings: Settings, embedded: EmbeddedPostgres) -> Settings:
    postgres = msgspec.structs.replace(settings.postgres, url=embedded.uri())
    repository = settings.repository
    if repository.url is None:
        repository = msgspec.structs.replace(repository, url=embedded.uri(HISTORY_DATABASE))
    return msgspec.structs.replace(settings, postgres=postgres, repository=repository)


def _in_child(work: Callable[[], object]) -> None:
    """Do something that needs an event loop in a process of its own, so that the supervisor never had one."""
    pid = os.fork()
    if pid == 0:
        code = process.EXIT_FAILED
        try:
            work()
            code = process.EXIT_OK
        except OperatorError as error:
            log.error("%s", error, extra={"action": "migration_failed"})
            code = process.EXIT_SETTINGS
        except Exception:  # the child ends here: the reason is in its log
            log.exception("migration failed", extra={"action": "migration_failed"})
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if (code := os.waitstatus_to_exitcode(status)) != process.EXIT_OK:
        raise InternalError(f"The tables could not be made (exit code {code}); the reason is in the log above.")


def _announce(settings: Settings, began: float) -> None:
    host = "localhost" if settings.api_host in ("0.0.0.0", "::", "127.0.0.1") else settings.api_host
    log.info(
        "Tiercel is ready: http://%s:%s",
        host,
        settings.server.port,
        extra={"action": "standalone_ready", "seconds": round(time.monotonic() - began, 2)},
    )
