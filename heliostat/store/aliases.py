"""Champion, candidate and previous of a workload, and the route that follows from them."""

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from heliostat.errors import CatalogError, NotFoundError
from heliostat.records import Lease, Route
from heliostat.store.catalog_tables import routes
from heliostat.store.database import Change, Database
from heliostat.store.versions import found_version

RouteJson = dict[str, Any]


class Aliases(Database):
    """The catalog's aliases; each change is one transaction with its journal row and returns the new route."""

    def route(self, workload: str) -> RouteJson:
        """epoch, champion, candidate, previous and share; the epoch is 0 before the first promotion."""
        with self._reading() as connection:
            return _route(connection, workload).to_json()

    def aliases(self, workload: str) -> dict[str, int]:
        """The version behind each alias that is set."""
        route = self.route(workload)
        return {alias: route[alias] for alias in ("champion", "candidate", "previous") if route[alias] is not None}

    def promote(
        self,
        workload: str,
        version: int,
        *,
        reasons: Sequence[str],
        inputs: Mapping[str, Any],
        by: str,
        at: datetime,
        lease: Lease | None = None,
    ) -> RouteJson:
        """`version` is champion, the one before it previous, no trial runs; no change if it is champion already."""
        with self._changing(by=by, at=at, lease=lease) as change:
            found_version(change.connection, workload, number=version)
            route = _route(change.connection, workload)
            if route.champion == version:
                return route.to_json()
            after = _next(route, champion=version, previous=route.champion, candidate=None, share=0.0)
            said = {"version": version, "reasons": list(reasons), "inputs": dict(inputs)}
            return _replace(change, workload, kind="version_promoted", before=route, after=after, said=said)

    def set_candidate(
        self,
        workload: str,
        version: int | None,
        *,
        share: float = 0.0,
        reasons: Sequence[str] = (),
        inputs: Mapping[str, Any] | None = None,
        by: str,
        at: datetime,
        lease: Lease | None = None,
    ) -> RouteJson:
        """`version` answers `share` of the keys beside the champion (0: only compared); None ends the trial."""
        with self._changing(by=by, at=at, lease=lease) as change:
            route = _route(change.connection, workload)
            _refuse_candidate(change.connection, workload, version=version, share=share, route=route)
            if (route.candidate, route.share) == (version, share):
                return route.to_json()
            kind = "candidate_withdrawn" if version is None else "candidate_set"
            said = {
                "version": version,
                "share": share,
                "reasons": list(reasons),
                "inputs": dict(inputs or {}),
            }
            after = _next(route, candidate=version, share=share)
            return _replace(change, workload, kind=kind, before=route, after=after, said=said)

    def rollback(
        self,
        workload: str,
        *,
        champion: int | None = None,
        reasons: Sequence[str],
        inputs: Mapping[str, Any] | None = None,
        by: str,
        at: datetime,
        lease: Lease | None = None,
    ) -> RouteJson:
        """Champion and previous change places, and no trial runs; NotFoundError when there is no previous version.

        `champion` names the version to be rolled back: when another is champion by now, nothing changes, so that the
        same wish heard twice does not bring it back.
        """
        with self._changing(by=by, at=at, lease=lease) as change:
            route = _route(change.connection, workload)
            if champion is not None and route.champion != champion:
                return route.to_json()
            if route.previous is None:
                raise NotFoundError(
                    f"Workload {workload!r} cannot be rolled back: its champion is version {route.champion} "
                    "and no version served before it. Promote another version instead."
                )
            after = _next(route, champion=route.previous, previous=route.champion, candidate=None, share=0.0)
            said = {"version": after.champion, "reasons": list(reasons), "inputs": dict(inputs or {})}
            return _replace(change, workload, kind="version_rolled_back", before=route, after=after, said=said)


def _next(route: Route, **changed: Any) -> Route:
    return dataclasses.replace(route, epoch=route.epoch + 1, **changed)


def _route(connection: Connection, workload: str) -> Route:
    query = select(routes).where(routes.c.workload == workload)
    row = connection.execute(query).one_or_none()
    if row is None:
        return Route()
    return Route(**{name: value for name, value in row._mapping.items() if name != "workload"})


def _replace(
    change: Change, workload: str, *, kind: str, before: Route, after: Route, said: Mapping[str, Any]
) -> RouteJson:
    change.connection.execute(delete(routes).where(routes.c.workload == workload))
    change.connection.execute(insert(routes).values(workload=workload, **vars(after)))
    change.journal(kind, workload, payload={**said, "before": before.to_json(), "after": after.to_json()})
    return after.to_json()


def _refuse_candidate(
    connection: Connection, workload: str, *, version: int | None, share: float, route: Route
) -> None:
    if version is None:
        if share:
            raise CatalogError(f"No candidate cannot answer a share of {share} of {workload!r}; leave the share out.")
        return
    found_version(connection, workload, number=version)
    if not 0 <= share <= 1:
        raise CatalogError(f"The share of a candidate must lie between 0 and 1; got {share} for version {version}.")
    if route.champion is None or route.champion == version:
        raise CatalogError(
            f"Version {version} of {workload!r} cannot be a candidate: the champion is {route.champion}, "
            "and a trial compares two versions. Promote a first version, or try another one."
        )
