"""Leases: who steers; every change can be made to depend on still holding one."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select

from heliostat.errors import FencedError
from heliostat.records import Lease
from heliostat.store.catalog_tables import leases
from heliostat.store.database import Database


class Leases(Database):
    """The catalog's leases."""

    def acquire(self, name: str, holder: str, *, now: datetime, ttl: timedelta) -> Lease:
        """The lease, with a new epoch that ends every earlier one; FencedError while somebody else holds it."""
        with self._changing(by=holder, at=now) as change:
            held = _held(change.connection, name)
            if held is not None and held.holder != holder and held.expires_at > now:
                raise FencedError(
                    f"{holder} cannot steer {name}: {held.holder} holds the lease until {held.expires_at.isoformat()}. "
                    "Wait until then, or stop the holder."
                )
            epoch = 1 if held is None else held.epoch + 1
            lease = Lease(name=name, holder=holder, epoch=epoch, expires_at=now + ttl)
            change.connection.execute(delete(leases).where(leases.c.name == name))
            change.connection.execute(insert(leases).values(**vars(lease)))
            change.journal("lease_acquired", None, payload={"name": name, "holder": holder, "epoch": epoch})
        return lease

    def lease(self, name: str) -> Lease | None:
        """The newest lease under the name, expired or not."""
        with self._reading() as connection:
            return _held(connection, name)


def _held(connection: Connection, name: str) -> Lease | None:
    row = connection.execute(select(leases).where(leases.c.name == name)).one_or_none()
    return None if row is None else Lease(**row._mapping)
