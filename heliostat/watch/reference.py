"""What a version scored on its hold-out: what its later losses are measured against."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from heliostat.blocks import block_mean, sums_by_block
from heliostat.tasks import BINARY, Task
from heliostat.watch.events import ReferenceScore

Values = NDArray[np.float64]


def loss_reference(
    labels: Values, answers: Values, *, blocks: NDArray[np.generic], task: Task = BINARY
) -> ReferenceScore:
    """The task's loss on labelled hold-out rows, its error by the scatter of blocks (0: too few) and what was expected.

    Rows without a label (NaN) are left out.
    """
    is_labelled = np.isfinite(labels)
    labelled, answers = labels[is_labelled], answers[is_labelled]
    found = _mean_of(task.losses(labelled, answers), blocks[is_labelled])
    return replace(found, expected=task.expected(answers))


def score_reference(
    labels: Values, answers: Values, *, blocks: NDArray[np.generic], task: Task = BINARY
) -> ReferenceScore | None:
    """The same of the task's score (accuracy), without what was expected; None where that is no mean over rows."""
    if task.kind == "quantity":
        return None
    is_labelled = np.isfinite(labels)
    return _mean_of(task.row_scores(labels[is_labelled], answers[is_labelled]), blocks[is_labelled])


def _mean_of(values: Values, blocks: NDArray[np.generic]) -> ReferenceScore:
    found = block_mean(*sums_by_block(values, blocks))
    return ReferenceScore(
        score=found.mean,
        num_rows=found.num_rows,
        standard_error=found.standard_error if math.isfinite(found.standard_error) else 0.0,
    )
