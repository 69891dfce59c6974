"""How many rows fell due since an instant: follow-ups after a change count the labelled ones, traffic all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

NUM_KEPT = 1000  # cohorts; older ones are added up, so an instant before them counts them all


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Numbers of rows by the start of their cohort, in time order."""

    num_by_since: tuple[tuple[datetime, int], ...] = ()

    def added(self, since: datetime, num_rows: int) -> "Labelled":
        """With one more cohort; the same cohort told twice counts once."""
        by_since = dict(self.num_by_since) | {since: num_rows}
        kept = sorted(by_since.items())
        if len(kept) > NUM_KEPT:
            (_, first), (at, second) = kept[:2]
            kept = [(at, first + second), *kept[2:]]
        return Labelled(num_by_since=tuple(kept))

    def since(self, at: datetime) -> int:
        """The rows of cohorts that began at `at` or later."""
        return sum(num_rows for began_at, num_rows in self.num_by_since if began_at >= at)

    def per_day(self, *, until: datetime, span: timedelta) -> float | None:
        """Rows a day in the last `span` before `until`, or since the first cohort; None before any."""
        if not self.num_by_since:
            return None
        first_at = max(self.num_by_since[0][0], until - span)
        return None if first_at >= until else self.since(first_at) / ((until - first_at) / timedelta(days=1))

    def to_json(self) -> list[list[str | int]]:
        """Pairs of an instant and a number."""
        return [[since.isoformat(), num_rows] for since, num_rows in self.num_by_since]

    @classmethod
    def from_json(cls, value: Sequence[Sequence[str | int]]) -> "Labelled":
        """What `to_json` wrote."""
        return cls(num_by_since=tuple((datetime.fromisoformat(str(at)), int(number)) for at, number in value))
