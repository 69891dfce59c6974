"""What was answered, counted by version since the first row: how many, how many degraded, how fast."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# Doubling from a quarter of a millisecond to eight seconds: what a deadline or a target can lie between.
LATENCY_EDGES_MS: tuple[float, ...] = tuple(0.25 * 2**step for step in range(16))
NUM_KEPT = 5  # versions; older ones no longer answer, and a scrape must not grow for ever


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Rows that one version answered; `+` is exact, in any order and grouping.

    `num_by_latency` has one count for each edge (at most so many milliseconds, and above the edge before), and at
    last one for slower rows; rows without a latency are in none.
    """

    num_rows: int = 0
    num_degraded: int = 0
    latency_sum_ms: float = 0.0
    num_by_latency: Sequence[int] = (0,) * (len(LATENCY_EDGES_MS) + 1)

    def __add__(self, other: "Answers") -> "Answers":
        """The counts of both sets of rows."""
        return Answers(
            num_rows=self.num_rows + other.num_rows,
            num_degraded=self.num_degraded + other.num_degraded,
            latency_sum_ms=self.latency_sum_ms + other.latency_sum_ms,
            num_by_latency=tuple(a + b for a, b in zip(self.num_by_latency, other.num_by_latency, strict=True)),
        )

    @classmethod
    def of(cls, rows: pa.Table) -> "Answers":
        """The counts of prediction rows, by their columns `degraded` and `latency_ms`."""
        latency_ms = np.asarray(rows["latency_ms"].drop_null().to_numpy(), np.float64)
        places = np.searchsorted(LATENCY_EDGES_MS, latency_ms, side="left")
        return cls(
            num_rows=rows.num_rows,
            num_degraded=pc.sum(rows["degraded"]).as_py() or 0,
            latency_sum_ms=float(latency_ms.sum()),
            num_by_latency=tuple(np.bincount(places, minlength=len(LATENCY_EDGES_MS) + 1).tolist()),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` reads them."""
        return {
            "num_rows": self.num_rows,
            "num_degraded": self.num_degraded,
            "latency_sum_ms": self.latency_sum_ms,
            "num_by_latency": list(self.num_by_latency),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Answers":
        """The counts that `to_json` wrote."""
        return cls(**{**value, "num_by_latency": tuple(value["num_by_latency"])})


def count(rows: pa.Table, *, before: Mapping[int, Answers]) -> dict[int, Answers]:
    """The counts `before` and those of the prediction rows, by version; only the newest versions are kept."""
    counted = dict(before)
    for version in pc.unique(rows["version"]).to_pylist():
        of_version = Answers.of(rows.filter(pc.equal(rows["version"], version)))
        counted[version] = counted.get(version, Answers()) + of_version
    return {version: counted[version] for version in sorted(counted)[-NUM_KEPT:]}
