"""Which predictions wait for their labels: until their due time, or as long as labels have taken before."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from heliostat.watch.delays import Maturity

NUM_SPANS = 7  # windows for which an estimate is kept: labels do not change their ways from one day to the next


@dataclass(frozen=True, kw_only=True)
class Awaited:
    """What has been seen of events and due times; of predictions without one, since when they have not matured.

    `undated_since` only moves on, so each of them matures once, whatever becomes of the estimate.
    """

    longest_due: timedelta = timedelta(0)
    newest_event_at: datetime | None = None
    undated_since: datetime | None = None
    maturity: Maturity | None = None
    estimated_at: datetime | None = None

    @property
    def wait(self) -> timedelta | None:
        """Within which labels come that are waited for; None while some have no due time and nobody knows."""
        if self.undated_since is not None and self.maturity is None:
            return None
        return max(self.longest_due, timedelta(0) if self.maturity is None else self.maturity.after)

    def seen(self, rows: pa.Table) -> "Awaited":
        """With more predictions, by their columns event_at and due_at."""
        if not rows.num_rows:
            return self
        waits_us = pc.max(pc.subtract(rows["due_at"], rows["event_at"]).cast(pa.int64())).as_py()
        newest = pc.max(rows["event_at"]).as_py()
        undated = pc.min(rows["event_at"].filter(pc.is_null(rows["due_at"]))).as_py()
        return replace(
            self,
            longest_due=max(self.longest_due, timedelta(microseconds=waits_us or 0)),
            newest_event_at=newest if self.newest_event_at is None else max(newest, self.newest_event_at),
            undated_since=self.undated_since if self.undated_since is not None else undated,
        )

    def is_estimate_old(self, at: datetime, *, span: timedelta) -> bool:
        """Whether the delays should be looked at: some predictions have no due time, and the last look is long ago."""
        if self.undated_since is None:
            return False
        return self.maturity is None or self.estimated_at is None or at - self.estimated_at >= NUM_SPANS * span

    def estimated(self, found: Maturity | None, *, at: datetime) -> "Awaited":
        """With the estimate that was made at an instant; one that could not be made leaves the last."""
        return replace(self, maturity=found or self.maturity, estimated_at=at)

    def matured(self, until: datetime) -> "Awaited":
        """After all predictions without a due time that waited long enough by `until` have matured."""
        if self.maturity is None or self.undated_since is None:
            return self
        return replace(self, undated_since=max(self.undated_since, until - self.maturity.after))

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` reads them."""
        found = self.maturity
        return {
            "longest_due_s": self.longest_due.total_seconds(),
            "newest_event_at": _text(self.newest_event_at),
            "undated_since": _text(self.undated_since),
            "maturity": None if found is None else [found.after.total_seconds(), found.coverage],
            "estimated_at": _text(self.estimated_at),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Awaited":
        """What `to_json` wrote."""
        found = value.get("maturity")
        return cls(
            longest_due=timedelta(seconds=value["longest_due_s"]),
            newest_event_at=_instant(value.get("newest_event_at")),
            undated_since=_instant(value.get("undated_since")),
            maturity=None if found is None else Maturity(after=timedelta(seconds=found[0]), coverage=found[1]),
            estimated_at=_instant(value.get("estimated_at")),
        )


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
