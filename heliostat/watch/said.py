"""What answers said of labelled rows beside what came: two numbers a row, of which calibration is made."""

import numpy as np
from numpy.typing import NDArray

from heliostat.tasks import BINARY, Task

Values = NDArray[np.float64]


def said_and_came(task: Task, labels: Values, answers: Values) -> tuple[Values, Values]:
    """How likely the answers called it, and whether it came (0 or 1).

    Of probabilities of two values that is the positive label, else what `sure_and_right` gives.
    """
    if task.kind == BINARY.kind:
        return answers, labels
    return sure_and_right(task, labels, answers)


def sure_and_right(task: Task, labels: Values, answers: Values) -> tuple[Values, Values]:
    """How sure the answers were of their likeliest label, or of their interval, and whether they were right.

    Answers that do not say it are left out.
    """
    doubts, sureness = task.doubts(labels, answers), task.sureness(answers)
    is_known = doubts.is_sure if sureness is None else np.isfinite(sureness)
    said = 1 - doubts.expected if sureness is None else sureness
    return said[is_known], (~doubts.is_contradicted[is_known]).astype(np.float64)
