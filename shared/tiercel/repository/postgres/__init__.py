"""History in PostgreSQL: tables partitioned by time, in a database that no queue shares."""

from tiercel.repository.postgres.adapter import PostgresRepository

__all__ = ["PostgresRepository"]
