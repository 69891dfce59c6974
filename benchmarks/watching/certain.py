"""Streams of answers that are nearly certain, a share of them wrong all the same; then more of them become wrong."""

from dataclasses import replace
from statistics import median

import numpy as np
from numpy.typing import NDArray

from heliostat.metrics import log_loss
from heliostat.tasks import BINARY
from heliostat.triggers import Decay
from heliostat.watch.decay import watched, wealth_limit
from heliostat.watch.events import CohortScore
from heliostat.watch.reference import loss_reference

Values = NDArray[np.float64]
REFERENCE_ROWS, BLOCK_ROWS, NUM_BLOCKS, CHANGE_AT = 1000, 50, 60, 30
DOUBTS = (1e-3, 1e-4, 1e-5)
CHANGES = {0.01: (0.05, 0.2), 0.03: (0.1, 0.2)}  # wrong before, and after the change
BURST_CHANCE, BURST_WRONG = 0.05, 0.4  # of a block to be one, and of its rows to be wrong; no other row is
TRIGGER = Decay(log_loss, margin=0.02, min_rows=1)  # at most 1 false alarm in 1000 blocks: 60 in 1000 calm streams
IN_BURSTS = replace(TRIGGER, in_bursts=True)
AFTER_SPOTLESS = (0.01, 0.05, 0.2, 0.4)  # wrong after the change, where a hold-out of as many rows had no error


def measure(*, num_streams: int) -> dict[str, dict[str, str]]:
    """Calm streams in which the live rule alarms within 60 blocks, and the delay in blocks after changes.

    Then calm streams whose errors come in bursts, by how many bursts their hold-out has, without and with `in_bursts`,
    and what that costs where a hold-out without any error is followed by a change.
    """
    spread = {
        f"certain to {doubt:g}, {wrong:.0%} of them wrong": {
            "calm streams that alarm": f"{_alarmed(doubt, wrong, num_streams)} of {num_streams}",
            **{f"to {after:.0%}": _delay(doubt, wrong, after, num_streams // 4) for after in afters},
        }
        for doubt in DOUBTS
        for wrong, afters in CHANGES.items()
    }
    rules = {"": TRIGGER, ", in_bursts": IN_BURSTS}
    bursts = {
        f"certain to {doubt:g}, wrong in bursts{name}": _bursts(doubt, num_streams, trigger=trigger)
        for doubt in DOUBTS
        for name, trigger in rules.items()
    }
    spotless = {
        f"certain to {doubt:g}, none of them wrong{name}": {
            f"to {after:.0%}": _delay(doubt, 0.0, after, num_streams // 4, trigger=trigger) for after in AFTER_SPOTLESS
        }
        for doubt in DOUBTS
        for name, trigger in rules.items()
    }
    return spread | bursts | spotless


def _bursts(doubt: float, num_streams: int, *, trigger: Decay) -> dict[str, str]:
    """By how many bursts the hold-out has, and how many rows: so many calm streams alarm, of so many."""
    found: dict[str, list[bool]] = {}
    for rows in (REFERENCE_ROWS, 5 * REFERENCE_ROWS):
        for seed in range(30_000, 30_000 + num_streams):
            num_bursts, is_alarm = _bursty(doubt, rows // BLOCK_ROWS, seed=seed, trigger=trigger)
            found.setdefault(f"hold-out of {rows:,} rows, {min(num_bursts, 2)} bursts", []).append(is_alarm)
    told = {name: f"{sum(alarms)} of {len(alarms)}" for name, alarms in sorted(found.items())}
    return {name.replace("2 bursts", "2 bursts or more"): alarms for name, alarms in told.items()}


def _bursty(doubt: float, num_reference: int, *, seed: int, trigger: Decay) -> tuple[int, bool]:
    """(bursts in the hold-out, whether the detector alarms within NUM_BLOCKS calm blocks)."""
    random = np.random.default_rng(seed)
    is_burst = random.random(num_reference + NUM_BLOCKS) < BURST_CHANCE
    blocks = [_answered(random, BLOCK_ROWS, doubt, BURST_WRONG if burst else 0.0) for burst in is_burst]
    labels, answers = (np.concatenate(one) for one in zip(*blocks[:num_reference], strict=True))
    reference = loss_reference(labels, answers, blocks=np.arange(len(labels)) // BLOCK_ROWS, task=BINARY)
    scores = [_cohort(*block) for block in blocks[num_reference:]]
    values = [
        watched(trigger, scores[:until], reference=reference).detected.log_value for until in range(1, NUM_BLOCKS + 1)
    ]
    return int(is_burst[:num_reference].sum()), max(values) >= wealth_limit(TRIGGER)


def _alarmed(doubt: float, wrong: float, num_streams: int) -> int:
    found = [_alarm(doubt, wrong, wrong, seed=seed) for seed in range(10_000, 10_000 + num_streams)]
    return sum(one is not None for one in found)


def _delay(doubt: float, wrong: float, after: float, num_streams: int, *, trigger: Decay = TRIGGER) -> str:
    found = [_alarm(doubt, wrong, after, seed=seed, trigger=trigger) for seed in range(20_000, 20_000 + num_streams)]
    seen = [one - CHANGE_AT for one in found if one is not None and one > CHANGE_AT]
    return f"{median(seen) if seen else float('inf'):.0f} ({len(seen) / num_streams:.0%})"


def _alarm(doubt: float, wrong: float, after: float, *, seed: int, trigger: Decay = TRIGGER) -> int | None:
    """After how many blocks the detector reaches its limit first; None within NUM_BLOCKS."""
    random = np.random.default_rng(seed)
    labels, answers = _answered(random, REFERENCE_ROWS, doubt, wrong)
    reference = loss_reference(labels, answers, blocks=np.arange(REFERENCE_ROWS) // BLOCK_ROWS, task=BINARY)
    scores: list[CohortScore] = []
    for block in range(1, NUM_BLOCKS + 1):
        scores.append(_cohort(*_answered(random, BLOCK_ROWS, doubt, wrong if block <= CHANGE_AT else after)))
        if watched(trigger, scores, reference=reference).detected.log_value >= wealth_limit(TRIGGER):
            return block
    return None


def _answered(random: np.random.Generator, num_rows: int, doubt: float, wrong: float) -> tuple[Values, Values]:
    labels = random.integers(0, 2, num_rows).astype(np.float64)
    is_wrong = random.random(num_rows) < wrong
    return labels, np.where((labels > 0.5) ^ is_wrong, 1 - doubt, doubt)


def _cohort(labels: Values, answers: Values) -> CohortScore:
    return CohortScore(
        num_predictions=len(labels),
        num_labelled=len(labels),
        score_by_metric={log_loss.name: float(BINARY.losses(labels, answers).mean())},
        expected=BINARY.expected(answers),
    )
