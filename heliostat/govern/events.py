"""What the loop is told."""

from dataclasses import dataclass
from datetime import datetime

from heliostat.gates import Hold, Paired, Promote


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Somebody asks for a new candidate: why, since when it is so, and when it was seen."""

    at: datetime
    reasons: tuple[str, ...]
    onset_at: datetime
    detected_at: datetime


@dataclass(frozen=True, kw_only=True)
class RunEnded:
    """The job of a turn's attempt came to its end; `candidate` is None when it registered no version.

    `distance` is the mean distance of its answers from the champion's on the hold-out.
    """

    at: datetime
    turn: int
    attempt: int
    candidate: int | None
    verdict: Promote | Hold
    retrained_at: datetime | None = None
    distance: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunLost:
    """The job of a turn's attempt is gone without a result."""

    at: datetime
    turn: int
    attempt: int
    why: str


@dataclass(frozen=True, kw_only=True)
class TrialSeen:
    """How the candidate does on live rows since its trial began: rows it scored, matured pairs (None: none yet).

    `distance` is the mean distance of its answers from the champion's; the times are what three in four of their
    batches stay below. `error` is what it said to a row that it could not score.
    """

    at: datetime
    turn: int
    paired: Paired | None
    num_scored: int
    num_errors: int = 0
    error: str | None = None
    distance: float | None = None
    model_ms: float | None = None
    champion_model_ms: float | None = None


@dataclass(frozen=True, kw_only=True)
class Cancelled:
    """A person ends the turn, by hold, rollback or promoting something else."""

    at: datetime
    by: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Ticked:
    """The clock of the events has reached `at`."""

    at: datetime


Event = Asked | RunEnded | RunLost | TrialSeen | Cancelled | Ticked
