"""What the monitor is told, and what it decides."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from heliostat.tasks.expected import Expected
from heliostat.watch.drift import ColumnDrift
from heliostat.watch.groups import GroupTally
from heliostat.watch.reliability import ReliabilityBin
from heliostat.watch.together import Dependence
from heliostat.watch.within import SliceDrifts


@dataclass(frozen=True, kw_only=True)
class WindowClosed:
    """Rows of a span of event time, against the profile of `version`; told again, it replaces itself.

    `estimated_by_metric` is what the version's own answers expect of themselves; `num_answered` are so many.
    `together` is how columns depend on each other, `within` how they moved in slices, where that is watched.
    """

    since: datetime
    until: datetime
    version: int
    num_rows: int
    drift_by_column: Mapping[str, ColumnDrift]
    estimated_by_metric: Mapping[str, float] = field(default_factory=dict)
    num_answered: int = 0
    together: Dependence | None = None
    within: SliceDrifts | None = None


@dataclass(frozen=True, kw_only=True)
class CohortScore:
    """One version's answers in a cohort: how many, how many with a label, how good those were, and what they expected.

    `expected` is of the labelled answers; None where it was not kept or means nothing. `estimated_by_metric` is what
    all answers, labelled or not, expected of themselves. `label_delay_s` has quantiles of the time from an event to its
    label. `groups` are labelled rows by the values of watched columns.
    """

    num_predictions: int
    num_labelled: int
    score_by_metric: Mapping[str, float]
    expected: Expected | None = None
    estimated_by_metric: Mapping[str, float] = field(default_factory=dict)
    reliability: tuple[ReliabilityBin, ...] = ()
    groups: Mapping[str, Mapping[str, GroupTally]] = field(default_factory=dict)
    label_delay_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def coverage(self) -> float:
        """The share with a label, 0 without rows; below 1 is normal: some outcomes never become known."""
        return self.num_labelled / self.num_predictions if self.num_predictions else 0.0


@dataclass(frozen=True, kw_only=True)
class CohortMatured:
    """All predictions that fell due in a span; told again after late labels, it replaces itself."""

    since: datetime
    until: datetime
    score_by_version: Mapping[int, CohortScore]


@dataclass(frozen=True, kw_only=True)
class ReferenceScore:
    """What a version scored on its hold-out when the gate let it pass; the error is 0 where not known.

    `expected` is what its answers there expected of themselves, for log loss; None where not known.
    """

    score: float
    num_rows: int
    standard_error: float = 0.0
    expected: Expected | None = None


@dataclass(frozen=True, kw_only=True)
class ChampionChanged:
    """Another version answers from `at` on, trained on rows up to `trained_until`.

    `has_won` says that on the hold-out of its turn it was surely (one-sided 95%) better than the one before.
    """

    at: datetime
    version: int
    trained_until: datetime
    num_training_rows: int = 0
    reference_by_metric: Mapping[str, ReferenceScore] = field(default_factory=dict)
    has_won: bool = False


@dataclass(frozen=True, kw_only=True)
class TurnEnded:
    """The loop's turn is over, whatever came of it: what still holds may be said again.

    One that changed nothing (`is_in_vain`) did not pay.
    """

    at: datetime
    is_in_vain: bool = False


@dataclass(frozen=True, kw_only=True)
class Tick:
    """The clock of the events has reached `at`."""

    at: datetime


Event = WindowClosed | CohortMatured | ChampionChanged | TurnEnded | Tick


@dataclass(frozen=True, kw_only=True)
class Retrain:
    """Ask for a new candidate: why, since when it is so, when it was seen, and the numbers looked at."""

    reasons: tuple[str, ...]
    onset_at: datetime
    detected_at: datetime
    evidence: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Alert:
    """Something a person should know; nothing is retrained for it."""

    reason: str
    detected_at: datetime
    evidence: Mapping[str, Any]


Decision = Retrain | Alert
