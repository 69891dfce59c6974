"""A replica's count of requests that were refused or failed, and how the monitor hears of it: now and then."""

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

from heliostat.errors import HeliostatError

logger = logging.getLogger(__name__)

TELL_AFTER_S = 5.0  # what failed in a replica that was killed within so long is not heard of
Tell = Callable[[str, Mapping[str, int]], Awaitable[None]]


class Failures:
    """Totals since the start by HTTP status (gRPC calls by that of the same refusal over HTTP).

    A failure costs an addition; those of some seconds are told together. Nothing runs while none fails.
    """

    def __init__(self) -> None:
        self._replica = uuid.uuid4().hex
        self._num_by_status: Counter[int] = Counter()
        self._tell: Tell | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._telling: asyncio.Task[None] | None = None

    @property
    def num_by_status(self) -> dict[str, int]:
        """The totals, by status."""
        return {str(status): number for status, number in sorted(self._num_by_status.items())}

    def told_to(self, tell: Tell) -> None:
        """Whoever adds up those of all replicas hears of these, from now on."""
        self._tell = tell

    def add(self, status: int) -> None:
        """One more; on the event loop."""
        self._num_by_status[status] += 1
        if self._timer is None and self._tell is not None:
            self._timer = asyncio.get_running_loop().call_later(TELL_AFTER_S, self._begin, self._tell)

    def close(self) -> None:
        """Nothing is told any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _begin(self, tell: Tell) -> None:
        self._telling = asyncio.ensure_future(self._told(tell))

    async def _told(self, tell: Tell) -> None:
        self._timer = None  # what fails from here on is told with the next
        try:
            await tell(self._replica, self.num_by_status)
        except HeliostatError as error:
            logger.info("The monitor did not hear of failed requests, and will be told again: %s", error)
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(TELL_AFTER_S, self._begin, tell)
