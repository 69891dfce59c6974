"""How the loop turns on a table that nobody declared a policy for: shares of the stream, never values of its labels.

Most numbers were set on principle, see each field; those of growth and age were mended by streams that were played
(docs/decisions.md), so they are measured on others (docs/benchmarks.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from heliostat.declared.economics import Economics
from heliostat.declared.loop import Loop
from heliostat.gates import BetterThanConstant, Gate, NoWorseThanChampion
from heliostat.simulate.stream import Stream
from heliostat.tasks import BINARY, Task, repeated
from heliostat.triggers import SUDDEN_RUN_LENGTH, Age, Decay, Drift, Growth, Slack, Trigger

Values = NDArray[np.float64]
MAX_HOLDOUT_SHARE = 0.05
MIN_STEPS_OF_SUDDEN_DECAY = 4  # where the evidence is overwhelming: a false alarm in so many steps at most
MAX_ARCHIVED = 8  # of a table nobody knows how many worlds take turns, and asking a champion costs no fit
MIN_STEPS_OF_DECAY = 10  # the scatter between fewer steps is too rough to be looked at again and again


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Triggers, limits and sizes for one stream."""

    growth_share: float = 0.5  # error falls with a power of the rows, so turns belong at growing distances
    paying_share: float = 0.25  # after a turn that surely won: what paid is worth doing again soon
    age_share: float = 0.2  # of the stream: where nothing is seen to change, four turns of what is left at most
    cooldown_share: float = 0.02  # of the stream
    decay_share: float = 0.03  # of what the best constant answer costs: less is not worth a turn
    score_margin: float = 0.05  # of the score: a fall that needs no fine measure
    holdout_split: float | None = None
    min_holdout_rows: int
    max_holdout_rows: int
    window_rows: int
    decay_min_rows: int
    sudden_min_rows: int
    decay_margin: float
    num_steps: int
    task: Task = BINARY
    economics: Economics | None = None

    @classmethod
    def of(cls, stream: Stream, *, economics: Economics | None = None) -> "Policy":
        """The defaults for a stream, from its length and from the labels of its first part."""
        num_rows = stream.num_rows
        known = stream.usable(stream.first_step)
        constant_loss = _constant_loss(stream.task, stream.labels[known])
        min_holdout = min(200, max(50, num_rows // 100))
        return cls(
            min_holdout_rows=min_holdout,
            max_holdout_rows=max(min_holdout, int(MAX_HOLDOUT_SHARE * num_rows)),
            window_rows=len(known),
            decay_min_rows=min(Decay.min_rows, max(MIN_STEPS_OF_DECAY * stream.step_rows, num_rows // 20)),
            sudden_min_rows=max(MIN_STEPS_OF_SUDDEN_DECAY * stream.step_rows, 2 * min_holdout),
            decay_margin=float(f"{cls.decay_share * constant_loss:.3g}"),
            num_steps=stream.num_steps,
            task=stream.task,
            economics=economics,
        )

    @property
    def triggers(self) -> Sequence[Trigger]:
        """What asks for a turn."""
        return (
            Growth(self.growth_share, while_paying=self.paying_share),
            Decay(
                self.task.loss,
                margin=self.decay_margin,
                min_rows=self.decay_min_rows,
                sudden_rows=self.sudden_min_rows,
            ),
            *self._score_decay,
            Slack(
                margin=self.decay_margin,
                min_rows=self.decay_min_rows,
                metric=self.task.loss,
                beyond_expectation=True,
            ),
            Age(self._steps(self.age_share)),
        )

    @property
    def _score_decay(self) -> Sequence[Trigger]:
        """A fall of the score: of answers that are nearly certain, the loss scatters too much to be sure."""
        if self.task.kind == "quantity":  # its score is no mean over rows
            return ()
        margin, rows = self.score_margin, self.sudden_min_rows
        return (Decay(self.task.score, margin=margin, min_rows=rows, run_length=SUDDEN_RUN_LENGTH),)

    @property
    def gates(self) -> Sequence[Gate]:
        """What a candidate must pass."""
        return (BetterThanConstant(self.task.loss, or_less_bad=True), NoWorseThanChampion(self.task.loss))

    @property
    def warnings(self) -> Sequence[Trigger]:
        """What is said and counted as an alarm, but asks for nothing: inputs move without harm all the time."""
        return (Drift(),)

    @property
    def loop(self) -> Loop:
        """The limits of the loop; a candidate that passed the gates answers at once, without a trial on live rows."""
        return Loop(
            cooldown=self._steps(self.cooldown_share),
            min_holdout_rows=self.min_holdout_rows,
            follow_ups=True,
            max_archived=MAX_ARCHIVED,
            economics=self.economics,
            canary_shares=(),
        )

    def _steps(self, share: float) -> timedelta:
        return timedelta(days=max(1, round(share * self.num_steps)))


def _constant_loss(task: Task, labels: Values) -> float:
    return float(np.mean(task.losses(labels, repeated(task.constant(labels), len(labels)))))
