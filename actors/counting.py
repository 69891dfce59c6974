"""Counts what became of labels beside what the monitor decides, and goes on trying where that fails.

Reads:  lake: labels, and the predictions of days that settle
Writes: nothing
"""

import logging
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from actors.watch import Watch
from heliostat import label_outcomes
from heliostat.store.lake import Lake
from heliostat.watch.label_counts import LabelCounts
from heliostat.watch.windows import window_start

logger = logging.getLogger(__name__)


class LabelCounting:
    """The counts of one workload's labels; `last_error` says why they stand still, None while they do not."""

    def __init__(self, watch: Watch, lake: Lake) -> None:
        self._watch, self._lake = watch, lake
        self.last_error: dict[str, str] | None = None

    def counted(
        self,
        before: LabelCounts,
        *,
        predictions: pa.Table,
        clock: datetime,
        wait: timedelta | None,
        matured_until: datetime | None,
    ) -> LabelCounts:
        """The counts after a look at the labels, once a window; those of before where they cannot be looked at.

        What failed is tried again with the next observation, and nothing is counted twice or left out by it.
        """
        is_done = matured_until is not None and window_start(clock, self._watch.loop.window) <= matured_until
        if before.settled_until is not None and is_done and self.last_error is None:
            return before
        try:
            counts = label_outcomes.followed(
                self._lake, self._watch.workload, before, predictions=predictions, clock=clock, wait=wait
            )
        # The outer edge of what nothing is decided by: whatever keeps labels from being read must not stop the loop.
        except Exception as error:
            logger.exception("The labels of %s could not be counted; trying again.", self._watch.workload)
            self.last_error = {"at": datetime.now(UTC).isoformat(), "detail": f"{type(error).__name__}: {error}"}
            return before if before.settled_until is not None else before.begun(predictions, clock=clock)
        self.last_error = None
        return counts
