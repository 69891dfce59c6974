"""Transactions on the catalog's database: who changes what, fenced, and journalled in the same transaction."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, make_url, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateColumn

from heliostat.errors import CatalogError, FencedError
from heliostat.records import Lease
from heliostat.store import catalog_tables as tables
from heliostat.store.journal import GENESIS_HASH, next_entry, stored

BUSY_TIMEOUT_S = 30.0
WRITES = "heliostat_writes"


@dataclass(frozen=True, kw_only=True)
class Change:
    """One open transaction of one author."""

    connection: Connection
    by: str
    at: datetime

    def journal(self, kind: str, workload: str | None, *, payload: Mapping[str, Any]) -> int:
        """The sequence number of the new journal row; it is there if and only if the change is."""
        head = self.connection.execute(select(tables.chain_head)).one()
        entry = next_entry((head.sequence, head.hash), kind, workload=workload, payload=payload, by=self.by, at=self.at)
        self.connection.execute(insert(tables.journal).values(**stored(entry)))
        self.connection.execute(update(tables.chain_head).values(sequence=entry.sequence, hash=entry.hash))
        return entry.sequence


class Database:
    """The catalog's database behind a URL; holds connections, so it stays in the process that made it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine = _engine(url)

    def create(self) -> None:
        """All tables exist with all their columns; what was there is left as it is."""
        path = make_url(self.url).database
        if self._engine.dialect.name == "sqlite" and path:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        with self._transaction(writes=True) as connection:
            tables.metadata.create_all(connection)
            _add_columns(connection)
            if connection.execute(select(tables.chain_head)).one_or_none() is None:
                connection.execute(insert(tables.chain_head).values(id=1, sequence=0, hash=GENESIS_HASH))

    def close(self) -> None:
        """All connections are closed."""
        self._engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._transaction(writes=False) as connection:
            yield connection

    @contextmanager
    def _changing(self, *, by: str, at: datetime, lease: Lease | None = None) -> Iterator[Change]:
        """A transaction that no other change overlaps; FencedError when `lease` was taken over."""
        with self._transaction(writes=True) as connection:
            # SQLite lets one writer in at a time anyway; on PostgreSQL this row's lock does the same.
            connection.execute(select(tables.chain_head).with_for_update())
            if lease is not None:
                refuse_lost(connection, lease)
            yield Change(connection=connection, by=by, at=at)

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[Connection]:
        options: dict[str, Any] = {WRITES: writes}
        if self._engine.dialect.name != "sqlite" and not writes:
            options["isolation_level"] = "REPEATABLE READ"  # one state of the catalog for all that is read
        try:
            with self._engine.connect().execution_options(**options) as connection, connection.begin():
                yield connection
        except SQLAlchemyError as error:
            raise CatalogError(
                f"The catalog {make_url(self.url).render_as_string()} cannot be used: {error}. "
                "Was it created, and can it be reached?"
            ) from error


def refuse_lost(connection: Connection, lease: Lease) -> None:
    """FencedError unless the lease is still the newest under its name."""
    row = connection.execute(select(tables.leases).where(tables.leases.c.name == lease.name)).one_or_none()
    if row is None or (row.holder, row.epoch) != (lease.holder, lease.epoch):
        found = "nobody holds it" if row is None else f"{row.holder} holds it at epoch {row.epoch}"
        raise FencedError(
            f"{lease.holder} no longer steers {lease.name} (epoch {lease.epoch}): {found}. "
            "Stop, and take the lease again before any further change."
        )


def _add_columns(connection: Connection) -> None:
    """A catalog of an earlier program gets the columns that it lacks, null in its rows."""
    existing = inspect(connection)
    for table in tables.metadata.sorted_tables:
        known = {column["name"] for column in existing.get_columns(table.name)}
        for column in table.columns:
            if column.name not in known:
                described = CreateColumn(column).compile(dialect=connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {described}")


def _engine(url: str) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: object) -> None:
    # The driver would begin transactions by itself, and late: two readers that both go on to write then collide.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
