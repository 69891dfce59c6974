"""What the loop is told."""

from dataclasses import dataclass
from datetime import datetime

from heliostat.gates import Hold, Paired, Promote


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Somebody asks for a new candidate: why, since when it is so, and when it was seen.

    `triggers` names what kind of trigger each reason is of ("decay", "growth"); without it each may mean a change.
    `gap` is by how much a row's loss exceeds what was expected, where that was seen.
    """

    at: datetime
    reasons: tuple[str, ...]
    onset_at: datetime
    detected_at: datetime
    triggers: tuple[str, ...] = ()
    gap: float | None = None


@dataclass(frozen=True, kw_only=True)
class Estimated:
    """How much more loss a row one version expects of itself than another does on the same rows, without any label."""

    difference: float
    standard_error: float
    num_rows: int


@dataclass(frozen=True, kw_only=True)
class RunEnded:
    """The job of a turn's attempt came to its end; `candidate` is None when it registered no version.

    `is_failed` says that its fits broke, so that nothing could be judged; the same rows and code would break again.

    `distance` is the mean distance of its answers from the champion's on the hold-out, `estimate` how much more loss a
    row it expects of itself there; `is_moving` says that it won
    more than a trigger's margin there, so the world may move still; `is_returned` that it is a champion of the past,
    whose world is back; `gain` is what it took off the champion's loss a row. The run used `num_labels` labelled rows
    for `num_fits` fits in `cpu_s`.
    """

    at: datetime
    turn: int
    attempt: int
    candidate: int | None
    verdict: Promote | Hold
    retrained_at: datetime | None = None
    distance: float | None = None
    estimate: float | None = None
    is_moving: bool = False
    gain: float | None = None
    num_labels: int | None = None
    num_fits: int | None = None
    cpu_s: float | None = None
    is_returned: bool = False
    is_failed: bool = False


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
    batches stay below. `error` is what it said to a row that it could not score. `estimated` needs no labels.
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
    estimated: Estimated | None = None


@dataclass(frozen=True, kw_only=True)
class Cancelled:
    """A person ends the turn, by hold, rollback or promoting something else."""

    at: datetime
    by: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Matured:
    """So many rows since the last change are labelled by now; `rows_per_day` are asked, where that is known."""

    at: datetime
    num_since_change: int
    rows_per_day: float | None = None


@dataclass(frozen=True, kw_only=True)
class Ticked:
    """The clock of the events has reached `at`."""

    at: datetime


Event = Asked | RunEnded | RunLost | TrialSeen | Cancelled | Matured | Ticked
