"""The state store on PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg import errors

from tiercel.errors import TiercelError
from tiercel.model.live import OutputKind, OutputRecord, RunRecord, Timer, TimerKind
from tiercel.model.state import State
from tiercel.model.trigger_state import TriggerState
from tiercel.queue.base import Delivery, Lease
from tiercel.queue.postgres.mail import Mail, PostgresMail
from tiercel.queue.postgres.node import Durability, PostgresNode
from tiercel.queue.postgres.sending import LEASE_LOST, STALE
from tiercel.runtime.postgres.array import int2s, int8s, texts
from tiercel.runtime.postgres.batch import Batch
from tiercel.statestore import records
from tiercel.statestore.base import Held, LeaseLost, Loaded, Scope, Snapshot, StaleState, Unit
from tiercel.statestore.postgres.unit import SQL, PostgresUnit, removals


class PostgresStateStore:
    """Keeps live state in tables."""

    def __init__(self, node: PostgresNode, mail: Callable[[], Mail] | None = None) -> None:
        self._node = node
        self._mail = mail or (lambda: PostgresMail(node))
        self._pool = node.pool
        self._losses = node.pool.losses

    @contextlib.asynccontextmanager
    async def transaction(self, leases: Sequence[Lease]) -> AsyncIterator[Unit]:
        """Open a transaction; the database hears of it when the block ends, in one round trip."""
        mail = self._mail()
        async with contextlib.AsyncExitStack() as stack:
            unit = PostgresUnit(leases, mail, stack)
            yield unit
            async with mail.turn():
                try:
                    may_be_lost = mail.durability is Durability.LATER
                    check = self._check_continuity if may_be_lost else None
                    await self._node.commit(unit.statements(), mail.touched(), mail.durability, mail.carrier, check)
                except TiercelError as error:
                    _raise_refusal(error.__cause__, leases)
                    raise
        await asyncio.sleep(0)  # the announcement leaves before the caller goes on: others start while it works

    def _check_continuity(self) -> None:
        """
        Refuse a transaction that was decided before a connection was lost.

        Called where commits do not wait for the disk (docs/adr/0019): the server may have crashed and taken back what
        it had not written yet, and with it what its owner remembers. An event that is a repetition to memory and new to
        the tables would be acknowledged and forgotten.
        """
        if self._pool.losses != self._losses:
            self._losses = self._pool.losses
            raise StaleState("A connection to PostgreSQL was lost, and its state may be an earlier one; read it again.")

    async def load(self, execution_ids: Sequence[str]) -> dict[str, Loaded]:
        """Return heads and task runs that are not folded."""
        if not execution_ids:
            return {}
        rows = await self._pool.fetch(SQL["load"], {"ids": texts(execution_ids)})
        return {
            name: Loaded(head=records.decode_head(head), runs=tuple(map(records.decode_run, bodies)))
            for name, head, bodies in rows
        }

    async def snapshot(self, execution_id: str) -> Snapshot | None:
        """Return an execution as it is now, None when it is not here."""
        rows = await self._pool.fetch(SQL["snapshot"], {"id": execution_id, "kind": int(OutputKind.OUTPUTS)})
        if not rows:
            return None
        ((head, runs, outputs),) = rows
        return Snapshot(
            head=records.decode_head(head),
            runs=tuple(map(records.decode_run, runs)),
            outputs=tuple(map(records.decode_output, outputs)),
        )

    async def runs(self, execution_id: str) -> list[RunRecord]:
        """Return all task runs."""
        rows = await self._pool.fetch(SQL["runs"], {"id": execution_id})
        return [records.decode_run(body) for (body,) in rows]

    async def outputs(
        self,
        execution_id: str,
        *,
        seqs: Sequence[int] | None = None,
        task_ids: Sequence[str] | None = None,
        kind: OutputKind = OutputKind.OUTPUTS,
    ) -> list[OutputRecord]:
        """Return outputs of an execution."""
        about = {
            "id": execution_id,
            "kind": int(kind),
            "seqs": int8s(list(seqs or ())),
            "tasks": texts(list(task_ids or ())),
        }
        if seqs is not None:
            statement = SQL["outputs_of_runs"]
        elif task_ids is not None:
            statement = SQL["outputs_of_tasks"]
        else:
            statement = SQL["outputs"]
        found = [records.decode_output(body) for (body,) in await self._pool.fetch(statement, about)]
        if seqs is not None and task_ids is not None:
            found = [output for output in found if output.task_id in task_ids]
        return found

    async def timers(self, service: str, partitions: Sequence[int], until: datetime, limit: int) -> list[Timer]:
        """Return timers that are due before `until`, earliest first."""
        rows = await self._pool.fetch(
            SQL["timers"], {"service": service, "parts": int2s(partitions), "until": until, "count": limit}
        )
        return [
            Timer(owner=owner, kind=TimerKind(kind), subject=subject, due=due) for owner, kind, subject, due in rows
        ]

    async def held(self, partitions: Sequence[int], workers: Sequence[str] | None = None) -> list[Held]:
        """Return what workers hold."""
        about = {"parts": int2s(partitions), "workers": texts(list(workers or ()))}
        rows = await self._pool.fetch(SQL["held" if workers is None else "held_by"], about)
        return [Held(execution_id=name, seq=seq, attempt=attempt, worker=worker) for name, seq, attempt, worker in rows]

    async def versions(self, execution_ids: Sequence[str]) -> dict[str, tuple[int, State]]:
        """Return version and state."""
        rows = await self._pool.fetch(SQL["versions"], {"ids": texts(execution_ids)})
        return {name: (version, State(state)) for name, version, state in rows}

    async def parked(self, partitions: Sequence[int]) -> list[tuple[str, int]]:
        """Return the executions that have parked events."""
        return [(name, part) for name, part in await self._pool.fetch(SQL["parked"], {"parts": int2s(partitions)})]

    async def parked_events(self, execution_ids: Sequence[str], limit: int) -> list[Delivery[Any]]:
        """Return parked events in order."""
        rows = await self._pool.fetch(SQL["parked_events"], {"ids": texts(execution_ids), "count": limit})
        return [records.parked_delivery(*row) for row in rows]

    async def scopes(self, ids: Sequence[str]) -> dict[str, Scope]:
        """Return the scopes that exist."""
        rows = await self._pool.fetch(SQL["scopes"], {"ids": texts(ids)})
        return {name: records.decode_scope(body) for name, body in rows}

    async def scopes_under(self, prefix: str, *, after: str = "", count: int) -> list[Scope]:
        """Return scopes by the beginning of their ids."""
        rows = await self._pool.fetch(SQL["scopes_under"], {"prefix": prefix, "after": after, "count": count})
        return [records.decode_scope(body) for (body,) in rows]

    async def triggers(
        self, partitions: Sequence[int] | None = None, uids: Sequence[str] | None = None
    ) -> list[TriggerState]:
        """Return trigger states."""
        about = {"parts": int2s(partitions or ()), "ids": texts(uids or ())}
        if partitions is not None and uids is not None:
            statement = SQL["triggers_by_both"]
        elif uids is not None:
            statement = SQL["triggers_by_uid"]
        elif partitions is not None:
            statement = SQL["triggers_of_partitions"]
        else:
            statement = SQL["triggers"]
        rows = await self._pool.fetch(statement, about)
        return [records.decode_trigger(body) for (body,) in rows]

    async def forget_ended(self, executions: Sequence[tuple[str, int]]) -> None:
        """Remove terminated executions, in one transaction."""
        known = {
            "ids": texts([name for name, _ in executions]),
            "versions": int8s([version for _, version in executions]),
        }
        async with self._pool.connection() as connection, connection.transaction():
            cursor = await connection.execute(SQL["forget_executions"], known, binary=True)
            gone = texts([name for (name,) in await cursor.fetchall()])
            await Batch(removals(gone)).run(connection)

    async def ended_before(self, partitions: Sequence[int], instant: datetime, limit: int) -> list[tuple[str, int]]:
        """Return executions that ended before the instant, the earliest first."""
        rows = await self._pool.fetch(
            SQL["ended_before"], {"parts": int2s(partitions), "until": instant, "count": limit}
        )
        return [(name, version) for name, version in rows]

    async def close(self) -> None:
        """Close the connections."""
        await self._node.close()


def _raise_refusal(error: BaseException | None, leases: Sequence[Lease]) -> None:
    """Raise what a guard of ours said."""
    if not isinstance(error, psycopg.Error):
        return
    if error.sqlstate == LEASE_LOST:
        names = ", ".join(f"{lease.service}/{lease.partition}" for lease in leases)
        raise LeaseLost(f"Another instance owns one of the partitions {names} by now; nothing was saved.") from error
    if error.sqlstate == STALE or isinstance(error, errors.UniqueViolation):
        said = error.diag.message_primary or str(error)
        raise StaleState(f"The state store is not as its owner believes ({said}); read it again.") from error
