"""The cohorts that fell due, each with the labels known at its end: what the monitor judges quality by.

Reads:  lake: predictions, labels; catalog: journal
Writes: nothing
"""

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from actors.proxy import catalog
from actors.shut_out import shut_out
from actors.watch import Watch
from heliostat import cohorts
from heliostat.store.lake import Lake
from heliostat.watch.bins import CategoryBins, NumberBins
from heliostat.watch.cohorts import score_cohort
from heliostat.watch.events import Event
from heliostat.watch.followed import Followed
from heliostat.watch.windows import window_start


class Maturing:
    """The cohorts of one workload, one for each window in which something fell due."""

    def __init__(self, watch: Watch, lake: Lake) -> None:
        self._watch, self._lake = watch, lake

    def cohorts(
        self,
        followed: Followed,
        *,
        clock: datetime,
        champion_at: datetime | None,
        groups: Sequence[NumberBins | CategoryBins],
    ) -> list[Event]:
        """Those that fell due up to `clock`, each judged on the labels known at its end; `followed` moves on.

        Labels that are shut out by now count as not told.
        """
        span = self._watch.loop.window
        reached = window_start(clock, span)
        # What fell due before the first champion came tells nothing about it.
        since = followed.matured_until or (
            reached if champion_at is None else min(reached, window_start(champion_at, span))
        )
        events: list[Event] = []
        while since + span <= reached:
            until = since + span
            due = self._fell_due(followed, since, until)
            if due.num_rows:
                scored = score_cohort(
                    due,
                    since=since,
                    until=until,
                    task=self._watch.task,
                    metrics=self._watch.metrics,
                    groups=groups,
                )
                num_labelled = sum(score.num_labelled for score in scored.score_by_version.values())
                followed.labelled = followed.labelled.added(since, num_labelled)
                followed.due = followed.due.added(since, due.num_rows)
                events.append(scored)
            since = until
        followed.matured_until = since
        return events

    def _fell_due(self, followed: Followed, since: datetime, until: datetime) -> pa.Table:
        """What matured in the span: by its due time, or because it waited as long as labels take."""
        watch = self._watch
        if followed.awaited.is_estimate_old(until, span=watch.loop.window):
            found = cohorts.label_delays(self._lake, watch.workload, as_of=until)
            followed.awaited = followed.awaited.estimated(found, at=until)
        before, followed.awaited = followed.awaited, followed.awaited.matured(until)
        return cohorts.matured(
            self._lake,
            watch.workload,
            watch.columns,
            since=since,
            until=until,
            before=before,
            after=followed.awaited,
            shut_out=shut_out(catalog(), watch.workload),
            task=watch.task,
        )
