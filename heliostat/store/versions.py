"""Model versions: numbered 1, 2, 3 per workload, never changed."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select

from heliostat.errors import NotFoundError
from heliostat.records import Lease, ModelVersion
from heliostat.store.catalog_tables import versions
from heliostat.store.database import Change, Database


class Versions(Database):
    """The catalog's model versions."""

    def register(  # noqa: PLR0913 - one argument a column, all named
        self,
        workload: str,
        *,
        run_id: str,
        candidate: str,
        kind: str,
        bundle_uri: str,
        bundle_hash: str,
        lineage: Mapping[str, Any],
        scores: Mapping[str, Any],
        by: str,
        at: datetime,
        lease: Lease | None = None,
    ) -> int:
        """The number of the version; a candidate of a run that was registered before keeps its number and content."""
        with self._changing(by=by, at=at, lease=lease) as change:
            known = _number(change.connection, workload, run_id=run_id, candidate=candidate)
            if known is not None:
                return known
            version = ModelVersion(
                workload=workload,
                number=_last_number(change.connection, workload) + 1,
                run_id=run_id,
                candidate=candidate,
                kind=kind,
                bundle_uri=bundle_uri,
                bundle_hash=bundle_hash,
                lineage=lineage,
                scores=scores,
                by=by,
                at=at,
            )
            _insert(change, version)
        return version.number

    def version(self, workload: str, number: int) -> ModelVersion:
        """The version; NotFoundError when there is none of that number."""
        with self._reading() as connection:
            return found_version(connection, workload, number=number)

    def versions(self, workload: str) -> list[ModelVersion]:
        """All versions of the workload, the oldest first."""
        query = select(versions).where(versions.c.workload == workload).order_by(versions.c.number)
        with self._reading() as connection:
            return [ModelVersion(**row._mapping) for row in connection.execute(query)]


def found_version(connection: Connection, workload: str, *, number: int) -> ModelVersion:
    """The version, read in a transaction that is already open."""
    query = select(versions).where(versions.c.workload == workload, versions.c.number == number)
    row = connection.execute(query).one_or_none()
    if row is None:
        last = _last_number(connection, workload)
        known = f"its versions are 1 to {last}" if last else "it has no version yet; run jobs.train first"
        raise NotFoundError(f"Workload {workload!r} has no version {number}; {known}.")
    return ModelVersion(**row._mapping)


def _insert(change: Change, version: ModelVersion) -> None:
    change.connection.execute(insert(versions).values(**vars(version)))
    change.journal("version_registered", version.workload, payload=version.to_json())


def _number(connection: Connection, workload: str, *, run_id: str, candidate: str) -> int | None:
    return connection.execute(
        select(versions.c.number).where(
            versions.c.workload == workload, versions.c.run_id == run_id, versions.c.candidate == candidate
        )
    ).scalar_one_or_none()


def _last_number(connection: Connection, workload: str) -> int:
    query = select(func.max(versions.c.number)).where(versions.c.workload == workload)
    return connection.execute(query).scalar_one() or 0
