"""What actors remember, and what Serve should run."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select

from heliostat.records import Application, Lease
from heliostat.store.catalog_tables import applications, states
from heliostat.store.database import Database


class States(Database):
    """State of actors by workload and name, and the applications to serve."""

    def put_state(
        self,
        workload: str,
        name: str,
        value: Mapping[str, Any],
        *,
        by: str,
        at: datetime,
        lease: Lease | None = None,
        journal: Sequence[tuple[str, Mapping[str, Any]]] = (),
    ) -> None:
        """The state is `value` and the decisions that led to it are journalled, all or nothing.

        The state itself is not journalled: it changes with every window.
        """
        with self._changing(by=by, at=at, lease=lease) as change:
            is_this = (states.c.workload == workload) & (states.c.name == name)
            change.connection.execute(delete(states).where(is_this))
            change.connection.execute(insert(states).values(workload=workload, name=name, value=dict(value), at=at))
            for kind, payload in journal:
                change.journal(kind, workload, payload=payload)

    def get_state(self, workload: str, name: str) -> dict[str, Any] | None:
        """The state last put; None when there is none."""
        query = select(states.c.value).where(states.c.workload == workload, states.c.name == name)
        with self._reading() as connection:
            value: dict[str, Any] | None = connection.execute(query).scalar_one_or_none()
        return value

    def put_application(
        self, workload: str, config: Mapping[str, Any], *, by: str, at: datetime, lease: Lease | None = None
    ) -> Application:
        """Serve should run this for the workload; nothing changes when it should already."""
        with self._changing(by=by, at=at, lease=lease) as change:
            row = change.connection.execute(
                select(applications).where(applications.c.workload == workload)
            ).one_or_none()
            if row is not None and row.config == dict(config):
                return Application(**row._mapping)
            revision = 1 if row is None else row.revision + 1
            application = Application(workload=workload, config=dict(config), revision=revision, at=at)
            change.connection.execute(delete(applications).where(applications.c.workload == workload))
            change.connection.execute(insert(applications).values(**vars(application)))
            change.journal("application_put", workload, payload=application.to_json())
        return application

    def remove_application(self, workload: str, *, by: str, at: datetime, lease: Lease | None = None) -> None:
        """Serve should run nothing for the workload."""
        with self._changing(by=by, at=at, lease=lease) as change:
            removed = change.connection.execute(delete(applications).where(applications.c.workload == workload))
            if removed.rowcount:
                change.journal("application_removed", workload, payload={})

    def applications(self) -> list[Application]:
        """Everything that Serve should run, by workload."""
        with self._reading() as connection:
            rows = connection.execute(select(applications).order_by(applications.c.workload))
            return [Application(**row._mapping) for row in rows]
