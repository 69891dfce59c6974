"""Runs: jobs that were started under a name, and how they ended."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from heliostat.errors import NotFoundError
from heliostat.records import Lease, Run
from heliostat.store.catalog_tables import runs
from heliostat.store.database import Database

RUNNING = "running"


class Runs(Database):
    """The catalog's runs."""

    def start_run(
        self,
        run_id: str,
        workload: str,
        *,
        job: str,
        params: Mapping[str, Any],
        by: str,
        at: datetime,
        lease: Lease | None = None,
    ) -> Run:
        """The run is running; one that ended is running again, one that runs already is left as it is."""
        with self._changing(by=by, at=at, lease=lease) as change:
            known = _run(change.connection, run_id)
            if known is not None and known.status == RUNNING:
                return known
            values = {"status": RUNNING, "result": None, "ended_at": None}
            if known is None:
                first = {"workload": workload, "job": job, "params": dict(params), "by": by, "started_at": at}
                change.connection.execute(insert(runs).values(run_id=run_id, **first, **values))
            else:
                change.connection.execute(update(runs).where(runs.c.run_id == run_id).values(**values))
            payload = {"run_id": run_id, "job": job, "params": dict(params), "again": known is not None}
            change.journal("run_started", workload, payload=payload)
            return _found(change.connection, run_id)

    def end_run(
        self,
        run_id: str,
        *,
        status: str,
        result: Mapping[str, Any] | None = None,
        by: str,
        at: datetime,
        lease: Lease | None = None,
    ) -> Run:
        """The run ended with this status and result; saying the same twice changes nothing."""
        with self._changing(by=by, at=at, lease=lease) as change:
            run = _found(change.connection, run_id)
            said = None if result is None else dict(result)
            if run.ended_at is not None and (run.status, run.result) == (status, said):
                return run
            values = {"status": status, "result": said, "ended_at": at}
            change.connection.execute(update(runs).where(runs.c.run_id == run_id).values(**values))
            change.journal("run_ended", run.workload, payload={"run_id": run_id, "status": status, "result": said})
            return _found(change.connection, run_id)

    def run(self, run_id: str) -> Run:
        """The run; NotFoundError when none has that id."""
        with self._reading() as connection:
            return _found(connection, run_id)

    def runs(self, workload: str, *, status: str | None = None, job: str | None = None) -> list[Run]:
        """The runs of the workload, the oldest first; of one status and job when they are named."""
        query = select(runs).where(runs.c.workload == workload).order_by(runs.c.started_at, runs.c.run_id)
        if status is not None:
            query = query.where(runs.c.status == status)
        if job is not None:
            query = query.where(runs.c.job == job)
        with self._reading() as connection:
            return [Run(**row._mapping) for row in connection.execute(query)]


def _run(connection: Connection, run_id: str) -> Run | None:
    row = connection.execute(select(runs).where(runs.c.run_id == run_id)).one_or_none()
    return None if row is None else Run(**row._mapping)


def _found(connection: Connection, run_id: str) -> Run:
    run = _run(connection, run_id)
    if run is None:
        raise NotFoundError(f"There is no run {run_id!r}; it was never started in this catalog.")
    return run
