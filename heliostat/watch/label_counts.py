"""What became of labels, each counted once: in time, late, repeated, contradicting, of an unknown id, or too old."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from heliostat.watch.gauges import Gauge, Measurement

IN_TIME, LATE, REPEATED, CONTRADICTING = "in_time", "late", "repeated", "contradicting"
UNKNOWN, TOO_OLD, BY_KEY = "unknown", "too_old", "by_key"
OUTCOMES = (IN_TIME, LATE, REPEATED, CONTRADICTING, UNKNOWN, TOO_OLD, BY_KEY)
NEWEST = Gauge("label_newest_known_timestamp_seconds", "When the newest label became known")
COUNTING = Gauge("label_counting_up", "1 when labels could be counted at the last look, 0 while that fails")
SETTLED = Gauge(
    "labels_settled_until_timestamp_seconds", "The day before which all labels are counted by what became of them"
)
DAY = timedelta(days=1)
GRACE = timedelta(days=7)  # after the last label of a day fell due: what comes later is too old


@dataclass(frozen=True, kw_only=True)
class LabelCounts:
    """Labels by what became of them, of days that are settled, and what came for those days later.

    A day of predictions settles a week after the last of their labels fell due. Before `settled_until` every day is,
    and labels up to the version `read_until` of their table have been looked at. Labels of days before `begun_on` are
    not counted: what became of them nobody looked at.
    """

    begun_on: date | None = None
    settled_until: date | None = None
    read_until: int | None = None
    newest_known_at: datetime | None = None
    num_by_outcome: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))

    def begun(self, predictions: pa.Table, *, clock: datetime, read_until: int | None = None) -> "LabelCounts":
        """Counting from the first day of these predictions on, or from today where they are all of the future.

        Labels up to the version `read_until` of their table are passed over; None: none of them.
        """
        first_at = pc.min(predictions["event_at"]).as_py()
        if first_at is None:
            return self
        # From a day that is years ahead nothing would settle until then, and every label of before be too old.
        day = min(first_at, clock).date()
        return replace(self, begun_on=day, settled_until=day, read_until=read_until)

    def heard(self, labels: pa.Table, *, read_until: int | None, clock: datetime) -> "LabelCounts":
        """With labels that were added to the table: those of settled days are too old, all others wait.

        One that says it becomes known later than the clock is at is heard now.
        """
        newest = pc.max(labels["known_at"]).as_py()
        known_at = [self.newest_known_at, newest if newest is None else min(newest, clock)]
        dates, begun_on, settled_until = labels["event_date"], self.begun_on or date.min, self.settled_until
        is_old = pc.and_(
            pc.greater_equal(dates, pa.scalar(begun_on, pa.date32())),
            pc.less(dates, pa.scalar(settled_until, pa.date32())),
        )
        num_old = pc.sum(pc.and_(is_old, pc.is_valid(labels["id"]))).as_py() or 0
        num_keyed = pc.sum(pc.is_null(labels["id"])).as_py() or 0
        return replace(
            self,
            read_until=read_until,
            newest_known_at=max((at for at in known_at if at is not None), default=None),
            num_by_outcome=_added(self.num_by_outcome, {TOO_OLD: num_old, BY_KEY: num_keyed}),
        )

    def next_day(self, clock: datetime, *, wait: timedelta) -> date | None:
        """The day that settles next, if it does by `clock` where labels are due within `wait`."""
        if self.settled_until is None:
            return None
        settles_at = datetime.combine(self.settled_until, datetime.min.time(), UTC) + DAY + wait + GRACE
        return self.settled_until if settles_at <= clock else None

    def settled(self, predictions: pa.Table, labels: pa.Table) -> "LabelCounts":
        """With the next day settled: all of its predictions, and the labels that name an id of it."""
        if self.settled_until is None:
            return self
        added = _added(self.num_by_outcome, counted(predictions, labels))
        return replace(self, settled_until=self.settled_until + DAY, num_by_outcome=added)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` reads them."""
        return {
            "begun_on": None if self.begun_on is None else self.begun_on.isoformat(),
            "settled_until": None if self.settled_until is None else self.settled_until.isoformat(),
            "read_until": self.read_until,
            "newest_known_at": None if self.newest_known_at is None else self.newest_known_at.isoformat(),
            "num_by_outcome": dict(self.num_by_outcome),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "LabelCounts":
        """What `to_json` wrote."""
        begun_on, settled_until, newest = value.get("begun_on"), value["settled_until"], value["newest_known_at"]
        return cls(
            begun_on=None if begun_on is None else date.fromisoformat(begun_on),
            settled_until=None if settled_until is None else date.fromisoformat(settled_until),
            read_until=value["read_until"],
            newest_known_at=None if newest is None else datetime.fromisoformat(newest),
            num_by_outcome=dict(value["num_by_outcome"]),
        )


def counted(predictions: pa.Table, labels: pa.Table) -> dict[str, int]:
    """How many labels by id were the first of their prediction (in time or late), and what the others were.

    A prediction without a due time has no late label. The order of the rows never matters.
    """
    once = predictions.group_by("id").aggregate([("due_at", "max")])
    place = pc.index_in(labels["id"], value_set=once["id"].combine_chunks())
    known = labels.filter(pc.is_valid(place)).append_column("place", place.drop_null())
    known = known.sort_by([(name, "ascending") for name in ("place", "known_at", "received_at", "value")])
    places, values = known["place"].to_numpy(), known["value"].to_numpy()
    is_first = np.append(True, places[1:] != places[:-1])[: len(places)]
    is_other = np.append(True, values[1:] != values[:-1])[: len(values)]
    due_at = once["due_at_max"].take(known["place"])
    is_late = np.asarray(pc.fill_null(pc.greater(known["known_at"], due_at), False).to_numpy(), np.bool_)
    return {
        IN_TIME: int((is_first & ~is_late).sum()),
        LATE: int((is_first & is_late).sum()),
        REPEATED: int((~is_first & ~is_other).sum()),
        CONTRADICTING: int((~is_first & is_other).sum()),
        UNKNOWN: labels.num_rows - known.num_rows,
    }


def measured_labels(counts: LabelCounts, *, is_up: bool) -> Iterator[Measurement]:
    """How fresh the labels are, up to where they are counted, and whether the last look at them went well."""
    yield COUNTING.of(float(is_up))
    if counts.newest_known_at is not None:
        yield NEWEST.at(counts.newest_known_at)
    if counts.settled_until is not None:
        yield SETTLED.at(datetime.combine(counts.settled_until, datetime.min.time(), UTC))


def _added(before: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    return {outcome: before.get(outcome, 0) + more.get(outcome, 0) for outcome in OUTCOMES}
