import numpy as np
import pyarrow as pa
import pytest

from heliostat.labels import Classes
from heliostat.simulate.stream import Stream
from heliostat.tasks import BINARY, task_of

NUM_ROWS, NUM_STEPS, STEP_ROWS = 1_000, 20, 50
LATE_STEPS = 5


def _stream(soon, late, task) -> Stream:
    """Labels that come at once and labels that come five steps later, in turn; nobody knows how long they take."""
    own_step = np.arange(NUM_ROWS) // STEP_ROWS + 1
    labels = np.empty(NUM_ROWS)
    labels[::2], labels[1::2] = np.resize(soon, NUM_ROWS // 2), np.resize(late, NUM_ROWS // 2)
    return Stream(
        inputs=pa.table({"x": np.zeros(NUM_ROWS)}),
        columns=(),
        labels=labels,
        known_step=own_step + LATE_STEPS * (np.arange(NUM_ROWS) % 2),
        due_step=own_step + LATE_STEPS,
        due_rows=np.maximum(np.arange(NUM_STEPS + 1) - LATE_STEPS, 0) * STEP_ROWS,
        first_step=10,
        step_rows=STEP_ROWS,
        task=task,
        is_due_known=np.zeros(NUM_STEPS + 1, bool),
    )


def test_a_tie_of_two_kinds_is_one_sided_where_each_kind_has_its_delay():
    assert _stream([0.0], [1.0], BINARY).is_one_sided(NUM_STEPS)
    assert not _stream([0.0, 1.0], [0.0, 1.0], BINARY).is_one_sided(NUM_STEPS)


@pytest.mark.parametrize(("soon", "late"), [([0.0], [2.0]), ([0.0, 0.0, 0.0, 1.0], [1.0, 2.0, 2.0, 2.0])])
def test_classes_are_one_sided_where_the_most_frequent_one_comes_at_its_own_time(soon, late):
    task = task_of(Classes("kind", values=("a", "b", "c")))
    assert _stream(soon, late, task).is_one_sided(NUM_STEPS)
    assert not _stream(soon, soon, task).is_one_sided(NUM_STEPS)


def test_without_any_label_nothing_is_one_sided():
    task = task_of(Classes("kind", values=("a", "b", "c")))
    assert not _stream([0.0], [2.0], task).is_one_sided(0)
