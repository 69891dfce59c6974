"""How a candidate does on live rows that both versions answered: what a canary is judged on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from heliostat import cohorts
from heliostat.columns import Column
from heliostat.gates import Paired
from heliostat.govern.evidence import paired
from heliostat.store.lake import Lake


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Losses on matured pairs (None: no pair yet), rows that the candidate scored, rows that it could not."""

    paired: Paired | None
    num_scored: int
    num_errors: int


def compare(lake: Lake, workload: str, columns: Sequence[Column], *, since: datetime, clock: datetime) -> Seen:
    """The trial since `since` on rows that were due, with labels known, by `clock`."""
    rows = cohorts.joined(lake, workload, columns, since=since, until=clock, known_by=clock)
    failed = pc.and_(pc.equal(rows["arm"], "candidate"), rows["degraded"])
    num_errors = int(pc.sum(failed).as_py() or 0)
    num_scored = len(rows) - rows["candidate_probability"].null_count
    due = pc.less_equal(rows["due_at"], pa.scalar(clock, pa.timestamp("us", tz="UTC")))
    both = pc.and_(pc.is_valid(rows["candidate_probability"]), pc.is_valid(rows["champion_probability"]))
    pairs = rows.filter(pc.and_(pc.fill_null(due, False), pc.and_(both, pc.is_valid(rows["label"]))))
    if pairs.num_rows == 0:
        return Seen(paired=None, num_scored=num_scored, num_errors=num_errors)
    # The champion's number does not matter to the judgement, only to whoever reads the reason.
    champions = pairs.filter(pc.equal(pairs["arm"], "champion"))["version"]
    found = paired(
        pairs["label"].to_numpy(),
        pairs["candidate_probability"].to_numpy(),
        champion=int(champions[0].as_py()) if len(champions) else 0,
        champion_probabilities=pairs["champion_probability"].to_numpy(),
        # Hours, because a canary may last a day only, and one block has no scatter.
        blocks=pc.floor_temporal(pairs["event_at"], unit="hour").to_numpy(),
    )
    return Seen(paired=found, num_scored=num_scored, num_errors=num_errors)
