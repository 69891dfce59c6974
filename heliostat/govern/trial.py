"""What live rows say about a candidate: a fault ends its trial at once, and so do losses that are surely worse.

The losses are looked at again and again by a test that allows it (`paired_process.py`); what is a matter of luck is
looked at once more, by a sharper test, at the end of a step.
"""

from heliostat.blocks import NORMAL_95
from heliostat.declared.loop import Loop
from heliostat.gates import Paired
from heliostat.govern.commands import TurnRecord
from heliostat.govern.events import Estimated, TrialSeen
from heliostat.paired_process import SURE, log_evidence

MIN_PAIRS = 30  # fewer matured pairs judge nobody
MIN_SCORED = 10  # fewer live rows do not show that a candidate answers at all
SLOWER = 3.0  # than the champion on the same rows: below it is not the candidate but the rows, or the machine
FARTHER = 4.0  # from the champion than on the hold-out
MIN_DISTANCE = 0.1  # a smaller mean distance from the champion's answers is never too far


def contradicted(paired: Paired | None) -> str | None:
    """Why the losses alone end a trial, or undo a promotion, whenever one looks; None while they do not."""
    if paired is None or paired.num_rows < MIN_PAIRS:
        return None
    evidence = log_evidence(paired.blocks)
    if evidence < SURE or paired.mean_difference <= 0:
        return None
    _, reason = _losses(paired)
    return f"{reason}; worse by evidence e^{evidence:.1f} of e^{SURE:.1f}"


def fault(seen: TrialSeen, loop: Loop) -> str | None:
    """Why the trial ends now; None when nothing is wrong."""
    worse = contradicted(seen.paired)
    if worse is not None:
        return worse
    if seen.num_errors:
        why = f": {seen.error}" if seen.error else ""
        return f"the candidate failed on {seen.num_errors} rows{why}"
    own, other = seen.model_ms, seen.champion_model_ms
    if seen.num_scored < MIN_SCORED or own is None or own <= loop.max_model_ms:
        return None
    if other is not None and own <= SLOWER * other:
        return None
    beside = "" if other is None else f", the champion {other:.1f} ms"
    return f"the candidate takes {own:.1f} ms a batch{beside}; Loop(max_model_ms={loop.max_model_ms:g}) is the limit"


def verdict(seen: TrialSeen, loop: Loop, *, turn: TurnRecord) -> tuple[bool, str]:
    """(is to be withdrawn, why in one sentence); losses one-sided at 95%.

    `turn` knows how the candidate's answers were to the hold-out, beside the champion's. Where labels are there they
    alone judge; where they are late, how far the answers are from the champion's and what they expect of themselves.
    """
    if seen.paired is not None and seen.paired.num_rows >= MIN_PAIRS:
        return _losses(seen.paired)
    num_rows = 0 if seen.paired is None else seen.paired.num_rows
    why = _far(seen.distance, turn.expected_distance) or _doubtful(seen.estimated, loop, turn=turn)
    return why is not None, why or f"answered without errors; {num_rows} matured pairs are too few to compare losses"


def _far(distance: float | None, expected: float | None) -> str | None:
    """Stands in for losses where labels come late; where they are there, another answer may be the better one."""
    if distance is None or expected is None or distance <= max(MIN_DISTANCE, FARTHER * expected):
        return None
    return f"its answers are {distance:.3f} from the champion's on average; on the hold-out it was {expected:.3f}"


def _doubtful(estimated: Estimated | None, loop: Loop, *, turn: TurnRecord) -> str | None:
    """The estimate assumes that answers mean what they say, of both versions alike: it is blind to a changed world."""
    limit, usual = loop.max_estimated_loss, turn.expected_estimate
    if limit is None or usual is None or estimated is None or estimated.num_rows < MIN_PAIRS:
        return None
    if estimated.difference - NORMAL_95 * estimated.standard_error - usual <= limit:
        return None
    return (
        f"by its own answers its loss is {estimated.difference:+.4f} ± {1.96 * estimated.standard_error:.4f} against "
        f"the champion's on {estimated.num_rows:,} live rows, on the hold-out it was {usual:+.4f} (estimated without "
        f"labels); Loop(max_estimated_loss={limit:g}) is the limit"
    )


def _losses(paired: Paired) -> tuple[bool, str]:
    is_worse = paired.mean_difference - 1.64 * paired.standard_error > 0
    return is_worse, (
        f"loss {paired.mean_difference:+.4f} ± {1.96 * paired.standard_error:.4f} against version "
        f"{paired.champion} on {paired.num_rows:,} live rows"
    )
