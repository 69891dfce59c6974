"""What the loop asks for. Each may be carried out twice: the second time changes nothing."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Outcome = Literal["promoted", "held", "rolled_back", "failed"]


@dataclass(frozen=True, kw_only=True)
class TurnRecord:
    """One turn of the loop: why, when each step was reached, and what came of it.

    `changed_at` is since when the world is another one, as far as the loop knows, and `is_in_doubt` whether earlier
    champions competed. `expected_distance` is how far the candidate's answers were from the champion's on the
    hold-out, on average, `expected_estimate` how much more loss a row it expected of itself there; `is_moving` that it
    won much there, `is_returned` that it is an earlier champion. The same reason is not heard before `rests_until`.
    `gap` is the loss a row above what was expected that a trigger saw, `gain` what the candidate took off on the
    hold-out, `quality_lost` the gap summed over the rows answered from onset to end, `cpu_s` what the run cost.
    """

    turn: int
    reasons: tuple[str, ...]
    onset_at: datetime
    detected_at: datetime
    started_at: datetime
    changed_at: datetime | None = None
    is_in_doubt: bool = True
    attempt: int = 1
    retrained_at: datetime | None = None
    gated_at: datetime | None = None
    shadow_at: datetime | None = None
    canary_at: datetime | None = None
    full_at: datetime | None = None
    ended_at: datetime | None = None
    candidate: int | None = None
    expected_distance: float | None = None
    expected_estimate: float | None = None
    is_moving: bool = False
    gap: float | None = None
    gain: float | None = None
    quality_lost: float | None = None
    num_labels: int | None = None
    num_fits: int | None = None
    cpu_s: float | None = None
    is_returned: bool = False
    rests_until: datetime | None = None
    outcome: Outcome | None = None
    outcome_reasons: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Submit:
    """Start the job of an attempt; every attempt of a turn works on the rows known at `as_of`.

    `onset_at` is since when the world is another one (None: not known to have changed); in doubt earlier champions
    compete.
    """

    turn: int
    attempt: int
    as_of: datetime
    onset_at: datetime | None
    is_in_doubt: bool = True


@dataclass(frozen=True, kw_only=True)
class Stop:
    """End the job of an attempt: nobody waits for it any more."""

    turn: int
    attempt: int


@dataclass(frozen=True, kw_only=True)
class Route:
    """Give the candidate a share of the traffic; with none it is only asked for the same rows."""

    turn: int
    version: int
    share: float


@dataclass(frozen=True, kw_only=True)
class MakeChampion:
    """Give the candidate all traffic."""

    turn: int
    version: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Withdraw:
    """Take the traffic back from the candidate."""

    turn: int
    version: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Demote:
    """Take all traffic back from a version that was promoted: labels that came late contradict its trial."""

    turn: int
    version: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The turn is over: write it down and tell the monitor."""

    record: TurnRecord


@dataclass(frozen=True, kw_only=True)
class Deferred:
    """An ask waits for the end of the cooldown."""

    reasons: tuple[str, ...]
    until: datetime


@dataclass(frozen=True, kw_only=True)
class Refused:
    """An ask is not followed, and why."""

    reasons: tuple[str, ...]
    why: str


@dataclass(frozen=True, kw_only=True)
class Declined:
    """A turn waits because it is not worth its run, or the budget is spent; the figures are those looked at."""

    reasons: tuple[str, ...]
    why: str
    expected_gain: float | None
    worth: float | None
    cost: float | None
    spent: float


Command = Submit | Stop | Route | MakeChampion | Withdraw | Demote | Ended | Deferred | Declined | Refused
