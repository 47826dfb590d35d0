"""
The context of one run: what a task may use (`tiercel.plugins.base.RunContext`), made lazily.

Most tasks render a text and return; they must not pay for a folder, a thread or a client. Expressions are evaluated on
the event loop, and what they ask of the world is fetched in between (`core.question`).
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import shutil
import stat
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeGuard

import msgspec

from tiercel.client.base import TenantApi
from tiercel.errors import ExpressionError, InvalidSettings, Refused, TaskFailed
from tiercel.expression import encryption
from tiercel.expression.asking import Asked
from tiercel.expression.plain import plain
from tiercel.expression.rendering import Renderer
from tiercel.model.execution import OutputRef
from tiercel.model.state import State
from tiercel.plugins.base import OWN_PREFIX, KeyValues
from tiercel.storage import claimcheck, uris
from tiercel.storage.base import Storage
from tiercel.worker import answers
from tiercel.worker.core.conversion import converter, is_structured, parse_json
from tiercel.worker.core.masking import Mask
from tiercel.worker.core.question import QUESTIONS_MAX, WorkerHost
from tiercel.worker.runlog import Origin, RunLog, RunMetrics
from tiercel.worker.surroundings import Surroundings

_UNSAFE: Final = re.compile(r"[^\w.+%@=,~() &-]")
"""What must not be in a file's name: separators and control characters."""


class DynamicRun(msgspec.Struct, frozen=True, kw_only=True):
    """A task run that a task makes up while it runs."""

    task_id: str
    value: str | None
    state: State
    outputs: OutputRef | None
    error: str | None


class TaskContext:
    """Everything one run has; `close` removes its folder."""

    def __init__(
        self,
        surroundings: Surroundings,
        origin: Origin,
        variables: Mapping[str, Any],
        *,
        dialect: str = "2.x",
        log_level: str | None = None,
        mask: Mask | None = None,
        working_dir: Path | None = None,
    ) -> None:
        self.surroundings = surroundings
        self.origin = origin
        self.dialect = dialect
        self.variables = variables
        self.tenant_id = origin.tenant_id
        self.namespace = origin.namespace
        self.flow_id = origin.flow_id
        self.execution_id = origin.execution_id
        self.task_run_id = origin.task_run_id
        self.attempt = origin.attempt
        self.mask = mask or Mask()
        self.metrics = RunMetrics()
        self.storage: Storage = surroundings.storage
        self.lines = RunLog(
            origin, surroundings.log_sink, surroundings.clock, surroundings.settings, log_level, self.mask
        )
        self._host = WorkerHost(surroundings.clock.now())
        self._renderer = Renderer(surroundings.engine(dialect), self._host)
        self._given_dir = working_dir
        self._own_dir: Path | None = None
        self._mark = os.urandom(4).hex()
        self._name = f"{self.task_run_id or 'run'}-{self.attempt}-{self._mark}"
        self._kill_actions: list[Callable[[], None]] = []
        self._killed = False
        self._fetched = 0
        self.reporter: Callable[[DynamicRun], None] | None = None

    @property
    def key_values(self) -> KeyValues:
        """The key-value store of the tenant."""
        return self.surroundings.key_values_of(self.tenant_id)

    @property
    def has_api(self) -> bool:
        """False when a task runs alone, without an installation around it."""
        return self.surroundings.api is not None

    def api(self, tenant_id: str | None = None) -> TenantApi:
        """Return the installation's API, for this tenant or another one."""
        client = self.surroundings.api
        if client is None:
            raise InvalidSettings("This worker does not know where the API is; set 'api.url'.")
        return client.of(tenant_id or self.tenant_id)

    # Rendering

    async def render(self, value: Any, as_type: Any = str, /, **more: Any) -> Any:
        """Render a property and convert it to `as_type`; None stays None."""
        if value is None:
            return None
        if as_type is str and type(value) is str:
            if "{" not in value:
                return value
            return await self._evaluate(self._renderer.render, value, more)
        if as_type is Any:
            function = self._renderer.render_data if isinstance(value, str) else self._renderer.render_value
            return await self._evaluate(function, value, more)
        if is_structured(as_type):
            rendered = await self._structure(value, more)
        else:
            rendered = await self._evaluate(self._renderer.render_value, value, more)
        if rendered is None or (rendered == "" and as_type is not str):
            return None
        return converter(as_type)(rendered)

    async def _structure(self, value: Any, more: Mapping[str, Any]) -> Any:
        if not isinstance(value, str):
            return await self._evaluate(self._renderer.render_value, value, more)
        # A list or map as JSON text is rendered part by part, so that quotes inside expressions are JSON's own.
        if value.lstrip()[:1] in ("[", "{") and not value.lstrip().startswith(("{{", "{%", "{#")):
            with contextlib.suppress(ExpressionError):
                return await self._evaluate(self._renderer.render_value, parse_json(value), more)
        text = await self._evaluate(self._renderer.render, value, more)
        return parse_json(text) if text.lstrip()[:1] in ("[", "{") else (text if text.strip() else None)

    async def _evaluate(self, function: Callable[[Any, Mapping[str, Any]], Any], value: Any, more: Any) -> Any:
        variables = {**self.variables, **more} if more else self.variables
        host = self._host
        host.begin(self.surroundings.clock.now())
        for _ in range(QUESTIONS_MAX):
            try:
                return function(value, variables)
            except Asked as question:
                host.known[question.key] = await self.answer(question)
                host.again()
        raise ExpressionError(f"The expression asks more than {QUESTIONS_MAX} questions; it cannot be evaluated.")

    async def answer(self, question: Asked) -> Any:
        """Find what an expression asks for."""
        self.surroundings.asking()
        found = await answers.answer(question, self)
        if isinstance(found, Exception) and question.sort == "large":
            raise found
        return found

    def decrypted(self, value: Any) -> Any:
        """Return a value with its encrypted parts decrypted, and mask these from now on."""
        return encryption.unsealed(value, self._decrypt)

    def _decrypt(self, text: str) -> str:
        key = self.surroundings.settings.encryption_key
        try:
            plain = encryption.decrypt(key, text) if key else text
        except ValueError as error:
            raise TaskFailed(f"A value cannot be decrypted with this worker's key: {error}") from error
        self.mask.add(plain)
        return plain

    def encrypt(self, text: str) -> dict[str, str]:
        """Return a text as an encrypted output; without a key it is in clear, as Kestra keeps it, and the log warns."""
        key = self.surroundings.settings.encryption_key
        if not key:
            self.log(
                "WARN",
                "An output that is to be encrypted is kept in clear: the installation has no key; "
                "set 'encryption.secret-key'.",
            )
            self.mask.add(text)
            return {"type": encryption.ENCRYPTED_TYPE, "value": text}
        value = encryption.encrypt(key, text, os.urandom(encryption.IV_LENGTH))
        return {"type": encryption.ENCRYPTED_TYPE, "value": value}

    # Logs and measurements

    def log(self, level: str, message: str) -> None:
        """Log a line of the task run."""
        self.lines.write(level, message)

    @property
    def log_is_full(self) -> bool:
        """True when nothing that is logged from now on is kept."""
        return self.lines.is_full

    async def room(self) -> None:
        """Wait while too many lines of log wait to be sent."""
        await self.surroundings.room()

    def counter(self, name: str, value: float, **tags: str) -> None:
        """Publish a counter."""
        self.metrics.add("counter", name, value, tags)

    def timer(self, name: str, seconds: float, **tags: str) -> None:
        """Publish a duration."""
        self.metrics.add("timer", name, seconds, tags)

    def gauge(self, name: str, value: float, **tags: str) -> None:
        """Publish a level."""
        self.metrics.add("gauge", name, value, tags)

    def report_run(
        self,
        task_id: str,
        *,
        state: State,
        value: str | None = None,
        outputs: Mapping[str, Any] | None = None,
        error: str | None = None,
    ) -> None:
        """Tell of a task run that this task has made up; large outputs are refused."""
        ref = None
        if outputs:
            known = plain(dict(outputs))
            ref = claimcheck.inline(known, msgspec.json.encode(known))
            if ref is None:
                raise TaskFailed(f"The outputs of the run '{task_id}' are too large; store them as a file.")
        if self.reporter is not None:
            self.reporter(DynamicRun(task_id=task_id, value=value, state=state, outputs=ref, error=error))

    def now(self) -> datetime:
        """Tell the time."""
        return self.surroundings.clock.now()

    # Files

    @property
    def working_dir(self) -> Path:
        """The folder of this run, made on first use, and once more after `close`."""
        if self._given_dir is not None:
            return self._given_dir
        if self._own_dir is None:
            self._own_dir = self.surroundings.folder / self._name
            self._own_dir.mkdir(mode=0o700)
        return self._own_dir

    @property
    def _is_alone(self) -> bool:
        """Tell whether no later task works in the folder, where it could write to what is left there."""
        return self._given_dir is None

    @property
    def prefix(self) -> str:
        """The folder of this task run in internal storage."""
        origin = self.origin
        return uris.task(origin.namespace, origin.flow_id, origin.execution_id, origin.task_id, origin.task_run_id)

    @property
    def containers_may(self) -> frozenset[str]:
        """What the operator allows containers of tasks beyond the usual."""
        return frozenset(self.surroundings.settings.containers_may)

    @property
    def cache_dir(self) -> Path:
        """A folder of the worker that outlives its runs."""
        return self.surroundings.cache_folder

    def local_file(self, path: str) -> Path:
        """Return the path of a file on the worker's disk; raise Refused unless it lies in an allowed folder."""
        allowed = [Path(folder).resolve() for folder in self.surroundings.settings.local_files_allowed]
        found = Path(path).resolve()
        if not any(found.is_relative_to(folder) for folder in allowed):
            raise Refused(
                f"The file '{path}' on the worker's disk must not be read: the setting 'worker.local-files-allowed' "
                "names the folders from where files may be taken."
            )
        return found

    async def store(
        self, name: str, content: Path | bytes | BinaryIO, *, apart: bool = False, final: bool = False
    ) -> str:
        """Put a file into internal storage below this task run, `apart` in a folder of this run; return its URI."""
        safe = _UNSAFE.sub("_", name.rpartition("/")[2]).strip() or "file"
        if safe in (".", ".."):
            raise Refused(f"'{name}' is not the name of a file.")
        path = f"{self.prefix}/{self._mark}/{safe}" if apart else f"{self.prefix}/{safe}"
        if isinstance(content, bytes | Path) or _is_whole_file(content):
            return await self.storage.put(self.tenant_id, path, content, final=final and self._is_alone)
        return await self.storage.put(self.tenant_id, path, _pieces(content))

    async def fetch(self, uri: str, name: str | None = None, *, read_only: bool = False) -> Path:
        """Copy a file of internal storage into the working folder, under a name of its own; return its path."""
        self._fetched += 1
        suffix = Path(uris.path_of(uri)).suffix
        target = self.working_dir / (name or f"{OWN_PREFIX}{self._fetched}-{os.urandom(6).hex()}{suffix}")
        target.parent.mkdir(parents=True, exist_ok=True)
        await self.storage.fetch(self.tenant_id, uri, target, read_only=read_only and self._is_alone)
        return target

    # Ending

    def on_kill(self, action: Callable[[], None]) -> None:
        """Call `action` when the run is killed or times out, before it is cancelled."""
        if self._killed:
            action()
        else:
            self._kill_actions.append(action)

    def kill(self) -> None:
        """Call what is to be called when the run is killed, once."""
        self._killed = True
        actions, self._kill_actions = self._kill_actions, []
        for action in actions:
            try:
                action()
            except Exception as error:  # one action that fails must not save the others
                self.log("WARN", f"Something of the task could not be stopped: {error}")

    async def close(self) -> None:
        """Remove the folder of the run, if one was made."""
        if self._own_dir is not None:
            path, self._own_dir = self._own_dir, None
            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)


def _is_whole_file(content: BinaryIO) -> TypeGuard[io.BufferedReader]:
    """Tell whether this is a file of the disk that nobody has read from yet."""
    return (
        isinstance(content, io.BufferedReader)
        and stat.S_ISREG(os.fstat(content.fileno()).st_mode)
        and content.tell() == 0
    )


async def _pieces(content: BinaryIO) -> Any:
    while chunk := await asyncio.to_thread(content.read, io.DEFAULT_BUFFER_SIZE * 32):
        yield chunk
