"""Quality before labels arrive, from the answers alone (confidence-based performance estimation, CBPE).

It assumes that calibration holds and that the concept has not changed: a world whose labels turned around looks as
good as ever. What became of it is said afterwards, by the cohorts whose labels fell due (`estimate_errors`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heliostat.metrics import EPSILON

Values = NDArray[np.float64]
ASSUMPTION = "no concept change, and calibration holds"
LOGIT_STEP, NUM_PLACES = 0.2, 100  # from -10 to 10: as fine for rare outcomes as for common ones
UNIT = 2.0**-30  # sums are whole numbers of it: adding is exact in any order and grouping


@dataclass(frozen=True, kw_only=True)
class AnswerTally:
    """Probabilities as sums by place on the logit scale; `+` is exact, in any order and grouping.

    `probability_units` are sums by place, `loss_units` and `brier_units` of the expected losses, all in UNIT.
    """

    num_by_place: tuple[int, ...] = (0,) * NUM_PLACES
    probability_units: tuple[int, ...] = (0,) * NUM_PLACES
    loss_units: int = 0
    brier_units: int = 0

    @classmethod
    def of(cls, probabilities: Values) -> "AnswerTally":
        """The tally of answers; one that is not a number is left out."""
        known = np.asarray(probabilities, np.float64)
        p = np.clip(known[~np.isnan(known)], EPSILON, 1 - EPSILON)
        logit = np.log(p) - np.log1p(-p)
        places = np.clip(np.floor(logit / LOGIT_STEP).astype(np.int64) + NUM_PLACES // 2, 0, NUM_PLACES - 1)
        # Whole numbers below 2**53 are exact in the float64 that bincount adds up in.
        units = np.bincount(places, weights=np.rint(p / UNIT), minlength=NUM_PLACES)
        return cls(
            num_by_place=tuple(np.bincount(places, minlength=NUM_PLACES).tolist()),
            probability_units=tuple(units.astype(np.int64).tolist()),
            loss_units=_units(-(p * np.log(p) + (1 - p) * np.log1p(-p))),
            brier_units=_units(p * (1 - p)),
        )

    @property
    def num_rows(self) -> int:
        """How many answers there are."""
        return sum(self.num_by_place)

    def __add__(self, other: "AnswerTally") -> "AnswerTally":
        """The tally of both sets of answers."""
        return AnswerTally(
            num_by_place=_added(self.num_by_place, other.num_by_place),
            probability_units=_added(self.probability_units, other.probability_units),
            loss_units=self.loss_units + other.loss_units,
            brier_units=self.brier_units + other.brier_units,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values, places that are empty left out; `from_json` reads them."""
        taken = [place for place, number in enumerate(self.num_by_place) if number]
        return {
            "places": [[place, self.num_by_place[place], self.probability_units[place]] for place in taken],
            "loss_units": self.loss_units,
            "brier_units": self.brier_units,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "AnswerTally":
        """The tally that `to_json` wrote."""
        numbers, units = [0] * NUM_PLACES, [0] * NUM_PLACES
        for place, number, unit in value["places"]:
            numbers[place], units[place] = number, unit
        return cls(
            num_by_place=tuple(numbers),
            probability_units=tuple(units),
            loss_units=value["loss_units"],
            brier_units=value["brier_units"],
        )


def _units(values: Values) -> int:
    return int(np.rint(values / UNIT).astype(np.int64).sum())


def _added(mine: Sequence[int], theirs: Sequence[int]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(mine, theirs, strict=True))


def estimates(tally: AnswerTally) -> dict[str, float]:
    """The scores that the answers expect of themselves, by metric; none for no answers.

    The AUC counts answers in one place as ties, so it is too low by about a thousandth; NaN with one class only.
    """
    if not tally.num_rows:
        return {}
    num_rows = np.array(tally.num_by_place, np.float64)
    positive = np.array(tally.probability_units, np.float64) * UNIT
    negative = num_rows - positive
    says_yes = np.arange(NUM_PLACES) >= NUM_PLACES // 2
    pairs = positive.sum() * negative.sum()
    ranked = float((positive * (np.cumsum(negative) - negative / 2)).sum())
    return {
        "log_loss": tally.loss_units * UNIT / tally.num_rows,
        "brier": tally.brier_units * UNIT / tally.num_rows,
        "auc": ranked / pairs if pairs > 0 else math.nan,
        "accuracy": float(np.where(says_yes, positive, negative).sum()) / tally.num_rows,
    }


@dataclass(frozen=True, kw_only=True)
class EstimateGap:
    """How wrong estimates were where labels came: means over rows of realised less estimated, and of its size."""

    bias: float
    mean_absolute: float
    num_rows: int
    num_cohorts: int


def estimate_error(pairs: Sequence[tuple[float, float, int]]) -> EstimateGap | None:
    """The error over cohorts, each (realised, estimated, labelled rows); None where no cohort has both figures."""
    known = [(real - told, rows) for real, told, rows in pairs if rows and math.isfinite(real) and math.isfinite(told)]
    if not known:
        return None
    gaps, rows = np.array([gap for gap, _ in known]), np.array([rows for _, rows in known], np.float64)
    return EstimateGap(
        bias=float(np.average(gaps, weights=rows)),
        mean_absolute=float(np.average(np.abs(gaps), weights=rows)),
        num_rows=int(rows.sum()),
        num_cohorts=len(known),
    )
