"""The numbers at the end of a turn: how long each step took, what was lost in between, labels used, cost."""

from datetime import datetime
from itertools import pairwise
from typing import Any

from heliostat.govern.commands import TurnRecord

STEPS = ("onset", "detected", "decided", "retrained", "gated", "shadow", "canary", "full")


def instants(turn: TurnRecord) -> dict[str, datetime]:
    """When each step was reached, in order; steps that were not are left out.

    The onset is known only where a change was seen. A turn is decided when its run starts.
    """
    at = {
        "onset": turn.onset_at if turn.changed_at is not None else None,
        "detected": turn.detected_at,
        "decided": turn.started_at,
        "retrained": turn.retrained_at,
        "gated": turn.gated_at,
        "shadow": turn.shadow_at,
        "canary": turn.canary_at,
        "full": turn.full_at,
    }
    return {step: found for step in STEPS if (found := at[step]) is not None}


def retrained_at(fitted_at: str | None, *, clock: datetime) -> datetime:
    """When the fits were done on the clock of the events, of the instant by the wall's that the run told.

    A replay's clock is of the past and stands still while a turn trains.
    """
    return clock if fitted_at is None else min(clock, datetime.fromisoformat(fitted_at))


def numbers(turn: TurnRecord) -> dict[str, Any]:
    """Plain values: the seconds to each step from the one before, the outcome, gain, loss, labels, fits and cost."""
    reached = list(instants(turn).items())
    seconds = {step: (at - before).total_seconds() for (_, before), (step, at) in pairwise(reached)}
    last = turn.ended_at or reached[-1][1]
    return {
        "turn": turn.turn,
        "outcome": turn.outcome,
        "reasons": list(turn.reasons),
        "began_at": reached[0][1].isoformat(),
        "seconds_to": seconds,
        "seconds": (last - reached[0][1]).total_seconds(),
        "gain": turn.gain,
        "quality_lost": turn.quality_lost,
        "labels": turn.num_labels,
        "fits": turn.num_fits,
        "cpu_s": turn.cpu_s,
    }


def quality_lost(turn: TurnRecord, *, rows_per_day: float | None) -> float | None:
    """Loss above what was expected, summed over the rows answered from the onset to the end of the turn.

    Estimated: the excess that the trigger saw, times the traffic. None where neither is known.
    """
    if turn.gap is None or rows_per_day is None or turn.ended_at is None:
        return None
    return turn.gap * rows_per_day * (turn.ended_at - turn.onset_at).total_seconds() / 86_400
