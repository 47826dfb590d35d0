"""
Migrations: numbered `.sql` files in the folder `migrations` of the package that owns the tables.

A file is named `0001_pre_<what>.sql` when it must run before new code does, `…_post_…` when only after the last old
process is gone. Each runs once, in a transaction of its own, under an advisory lock: any number of processes may start
at once. Files that have been released are never changed.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from importlib import resources
from typing import Final

import msgspec
import psycopg

from tiercel.errors import InternalError
from tiercel.runtime.postgres.failure import translated
from tiercel.runtime.postgres.pool import PLAIN_SESSION, Connection, connect

log = logging.getLogger(__name__)

CORE_PACKAGES: Final = (
    "tiercel.queue.postgres",
    "tiercel.queue.kafka",
    "tiercel.statestore.postgres",
    "tiercel.definitions.postgres",
)
"""What lives in the database of queue and state; the few tables for Kafka are there in any case, and stay empty."""
_LOCK: Final = 0x7135_C371
"""Key of the advisory lock."""
_NAME: Final = re.compile(r"(\d{4})_(pre|post)_\w+\.sql")
_LEDGER: Final = b"""
CREATE TABLE IF NOT EXISTS tiercel_migration (
  package text NOT NULL, number integer NOT NULL, name text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (package, number))
"""


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One file."""

    package: str
    number: int
    name: str
    text: str


def migrations_of(package: str) -> list[Migration]:
    """Return a package's migrations in order."""
    found = []
    for file in resources.files(package).joinpath("migrations").iterdir():
        if not file.name.endswith(".sql"):
            continue
        match = _NAME.fullmatch(file.name)
        if match is None:
            raise InternalError(f"Migration '{file.name}' of {package} must be named like 0001_pre_tables.sql.")
        found.append(Migration(package=package, number=int(match[1]), name=file.name, text=file.read_text()))
    return sorted(found, key=lambda migration: migration.number)


async def migrate(uri: str, packages: Sequence[str] = CORE_PACKAGES) -> list[Migration]:
    """Bring the tables of these packages up to date; return what was run."""
    try:
        connection = await connect(uri, PLAIN_SESSION, name="tiercel migrate")
    except psycopg.Error as error:
        raise translated(error) from error
    try:
        await connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        return await _migrate(connection, packages)
    except psycopg.Error as error:
        raise translated(error) from error
    finally:
        await connection.close()


async def _migrate(connection: Connection, packages: Sequence[str]) -> list[Migration]:
    await connection.execute(_LEDGER)
    rows = await (await connection.execute("SELECT package, number FROM tiercel_migration")).fetchall()
    known = {(package, number) for package, number in rows}
    done = []
    for package in packages:
        for migration in migrations_of(package):
            if (package, migration.number) in known:
                continue
            async with connection.transaction():
                await connection.execute(migration.text.encode(), prepare=False)
                await connection.execute(
                    "INSERT INTO tiercel_migration (package, number, name) VALUES (%s, %s, %s)",
                    (package, migration.number, migration.name),
                )
            log.info("migrated %s: %s", package, migration.name, extra={"action": "migration_applied"})
            done.append(migration)
    return done
