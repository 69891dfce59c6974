"""The catalog: the truth about versions, aliases, runs, leases, keys and applications, and the journal of it all."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select

from heliostat.errors import CatalogError
from heliostat.records import JournalEntry, Lease
from heliostat.store.aliases import Aliases
from heliostat.store.answer_jobs import AnswerJobs
from heliostat.store.catalog_tables import chain_head, journal
from heliostat.store.journal import restored, verified_end
from heliostat.store.keys import Keys
from heliostat.store.leases import Leases
from heliostat.store.runs import Runs
from heliostat.store.states import States
from heliostat.store.versions import Versions

PAGE = 1000


class Catalog(Leases, Versions, Aliases, Runs, States, Keys, AnswerJobs):
    """Everything the catalog holds, behind one database URL.

    Every change says by whom and when, and its journal row is in the same transaction; one that names a lease
    fails with FencedError when the lease was taken over.
    """

    def append(
        self,
        kind: str,
        workload: str | None,
        payload: Mapping[str, Any],
        *,
        by: str,
        at: datetime,
        lease: Lease | None = None,
    ) -> int:
        """The sequence number of a new journal row that goes with no other change, such as an alert."""
        with self._changing(by=by, at=at, lease=lease) as change:
            return change.journal(kind, workload, payload=payload)

    def entries(
        self,
        workload: str | None = None,
        *,
        after_sequence: int = 0,
        kind: str | None = None,
        limit: int | None = None,
    ) -> list[JournalEntry]:
        """The journal rows after a sequence number, the oldest first; of all workloads if none is named.

        All of them, or the first `limit`: who counts what happened must not see the first thousand alone.
        """
        query = select(journal).where(journal.c.sequence > after_sequence).order_by(journal.c.sequence).limit(limit)
        if workload is not None:
            query = query.where(journal.c.workload == workload)
        if kind is not None:
            query = query.where(journal.c.kind == kind)
        with self._reading() as connection:
            return [restored(row._asdict()) for row in connection.execute(query)]

    def verify(self) -> int:
        """The number of journal rows, all unaltered and in place; else CatalogError naming the first broken one."""
        query = select(journal).order_by(journal.c.sequence)
        with self._reading() as connection:
            rows = connection.execution_options(yield_per=PAGE).execute(query)
            end = verified_end(restored(row._asdict()) for row in rows)
            head = connection.execute(select(chain_head)).one()
        if end != (head.sequence, head.hash):
            raise CatalogError(
                f"The journal is broken at row {min(end[0], head.sequence) + 1}: it has {end[0]} rows where it should "
                f"have {head.sequence}, so rows were cut off, added or replaced past the catalog."
            )
        return end[0]
