"""An actor's right to steer: taken when it first writes, and the end of whoever had it before."""

from datetime import UTC, datetime, timedelta

from actors.proxy import catalog
from heliostat.records import Lease

TTL = timedelta(seconds=30)


class Holder:
    """Holds one lease under the actor's own name.

    A restarted actor takes it anew, with a higher epoch; a copy that was cut off then fails with FencedError at
    its next write, and must not go on. Every write checks the epoch in its own transaction, so the lease needs no
    renewal to be safe.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._lease: Lease | None = None

    def lease(self) -> Lease:
        """The lease, taken on the first call."""
        if self._lease is None:
            self._lease = catalog().acquire(self.name, self.name, now=datetime.now(UTC), ttl=TTL)
        return self._lease
