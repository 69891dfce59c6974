"""The lake: Delta tables, one set per workload, to which every commit is added exactly once.

The library refuses to run in a forked process: use spawn, or import this module after the fork.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from heliostat.errors import LakeError
from heliostat.store.filters import Filter, expression, partition_filters
from heliostat.store.schema import PARTITION, conform

# Lets a reader ask for the rows that came after a version it has seen; plain appends write nothing extra for it.
# Every opening reads the log since the last checkpoint: 38 ms of CPU with 80 commits, 100 being the library's default.
TABLE_CONFIGURATION = {"delta.enableChangeDataFeed": "true", "delta.checkpointInterval": "20"}
MAX_TRIES = 10


@dataclass(frozen=True)
class Lake:
    """The root of all tables; a plain value that holds no connection, so it pickles."""

    uri: str
    storage_options: Mapping[str, str] | None = None

    def append(self, workload: str, table: str, data: pa.Table, *, stream: str, sequence: int) -> bool:
        """True when the rows were added, in one commit; False, and nothing added, when they were before.

        They were when the table has (stream, sequence) or a later number of the stream. One stream has one writer and
        growing sequence numbers. The table is created when absent, and gets the columns that it lacks.
        """
        if PARTITION not in data.column_names:
            raise LakeError(
                f"Rows for {workload}/{table} need the column {PARTITION!r}, by which tables are partitioned; "
                f"got {data.column_names}. Add the UTC date of the event."
            )
        for _ in range(MAX_TRIES):
            delta = self._open(workload, table) or self._create(workload, table, data.schema)
            last = delta.transaction_version(stream)
            if last is not None and last >= sequence:
                return False
            if self._commits(delta, data, transaction=Transaction(stream, sequence)):
                return True
        raise LakeError(
            f"{workload}/{table}: others changed the table during each of {MAX_TRIES} tries to commit number "
            f"{sequence} of the stream {stream!r}. Nothing was added; try again."
        )

    def last_sequence(self, workload: str, table: str, *, stream: str) -> int | None:
        """The sequence number of the stream's last commit; None when it never committed."""
        delta = self._open(workload, table)
        return None if delta is None else delta.transaction_version(stream)

    def version(self, workload: str, table: str) -> int | None:
        """The newest version of the table; None when it does not exist."""
        delta = self._open(workload, table)
        return None if delta is None else delta.version()

    def read(
        self,
        workload: str,
        table: str,
        *,
        columns: Sequence[str] | None = None,
        where: Sequence[Filter] = (),
        version: int | None = None,
        schema: pa.Schema | None = None,
    ) -> pa.Table:
        """The rows that meet every filter, as of `version`; files that cannot hold one are not opened.

        With `schema` the result has its columns and types, also when the table is absent or older than a column.
        """
        delta = self._open(workload, table, version=version)
        if delta is None:
            if version is not None:
                raise LakeError(f"{workload}/{table} does not exist, so it has no version {version}.")
            return _empty(schema, columns)
        # pyarrow would choose the files too, but only after it has looked at the statistics of every one.
        dataset = delta.to_pyarrow_dataset(file_pruning_predicate=partition_filters(where, PARTITION))
        names = list(columns) if columns is not None else dataset.schema.names
        known = [name for name in names if name in dataset.schema.names]
        if schema is None and known != names:
            raise LakeError(
                f"{workload}/{table} has no column {', '.join(sorted(set(names) - set(known)))}; "
                f"it has {dataset.schema.names}."
            )
        try:
            rows = dataset.to_table(columns=known, filter=expression(where))
        except FileNotFoundError as error:
            raise LakeError(
                f"{workload}/{table} cannot be read at version {delta.version()}: a file was removed ({error}). "
                "Vacuum spares only the versions that are pinned; read a newer one."
            ) from error
        return rows if schema is None else conform(rows, _selected(schema, columns))

    def num_rows_by_day(self, workload: str, table: str, *, version: int | None = None) -> dict[date, int]:
        """How many rows the table has of each day, as its log says: no file is opened."""
        delta = self._open(workload, table, version=version)
        if delta is None:
            return {}
        files = pa.table(delta.get_add_actions(flatten=True)).select([f"partition.{PARTITION}", "num_records"])
        counted = files.group_by(f"partition.{PARTITION}").aggregate([("num_records", "sum")])
        days, counts = (counted[name].to_pylist() for name in (f"partition.{PARTITION}", "num_records_sum"))
        return dict(zip(days, counts, strict=True))

    def changes(
        self, workload: str, table: str, *, after_version: int | None, schema: pa.Schema
    ) -> tuple[pa.Table, int | None]:
        """The rows added after a version (None: all), and the version that they reach, to be asked for next."""
        delta = self._open(workload, table)
        reached = None if delta is None else delta.version()
        first = 0 if after_version is None else after_version + 1
        if delta is None or reached is None or first > reached:
            return schema.empty_table(), after_version
        rows = pa.table(delta.load_cdf(starting_version=first, ending_version=reached))
        # Conformed before it is filtered: the library answers in string views, which pyarrow cannot filter.
        typed = conform(rows, schema.append(pa.field("_change_type", pa.string())))
        return typed.filter(pc.equal(typed["_change_type"], "insert")).select(schema.names), reached

    def table_uri(self, workload: str, table: str) -> str:
        """Where the table lies, for readers that open Delta tables themselves."""
        return f"{self.uri.rstrip('/')}/{workload}/{table}"

    def _open(self, workload: str, table: str, *, version: int | None = None) -> DeltaTable | None:
        uri, options = self.table_uri(workload, table), self._options()
        try:
            if not DeltaTable.is_deltatable(uri, storage_options=options):
                return None
            return DeltaTable(uri, version=version, storage_options=options)
        except DeltaError as error:
            at = "" if version is None else f" at version {version}"
            raise LakeError(f"The table {uri} cannot be read{at}: {error}") from error

    def _create(self, workload: str, table: str, schema: pa.Schema) -> DeltaTable:
        # Created by a commit of its own: an empty first append would lose its transaction.
        uri = self.table_uri(workload, table)
        try:
            return DeltaTable.create(
                uri,
                schema=schema,
                mode="ignore",
                partition_by=[PARTITION],
                configuration=TABLE_CONFIGURATION,
                storage_options=self._options(),
            )
        except DeltaError as error:
            created = self._open(workload, table)  # by another writer, in the same moment
            if created is None:
                raise LakeError(f"The table {uri} cannot be created: {error}") from error
            return created

    def _commits(self, delta: DeltaTable, data: pa.Table, *, transaction: Transaction) -> bool:
        """False when the table changed since `delta` was opened in a way that forbids the commit."""
        try:
            write_deltalake(
                delta,
                data,
                mode="append",
                schema_mode=_schema_mode(delta, data),
                commit_properties=CommitProperties(app_transactions=[transaction]),
            )
        except CommitFailedError:
            # The same stream committed (which the next look-up tells), or the table was created or got a column.
            return False
        except DeltaError as error:
            raise LakeError(f"{delta.table_uri}: rows cannot be appended: {error}") from error
        return True

    def _options(self) -> dict[str, str] | None:
        return None if self.storage_options is None else dict(self.storage_options)


def _schema_mode(delta: DeltaTable, data: pa.Table) -> Literal["merge"] | None:
    existing = {field.name for field in delta.schema().fields}
    return None if existing == set(data.column_names) else "merge"


def _selected(schema: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    return schema if columns is None else pa.schema([schema.field(name) for name in columns])


def _empty(schema: pa.Schema | None, columns: Sequence[str] | None) -> pa.Table:
    if schema is None:
        return pa.table({name: pa.nulls(0) for name in columns or ()})
    return _selected(schema, columns).empty_table()
