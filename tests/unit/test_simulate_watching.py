import numpy as np
import pyarrow as pa
import pytest

from heliostat.labels import Binary, Classes, Quantity
from heliostat.simulate.stream import DAY, instant
from heliostat.simulate.watching import score
from heliostat.tasks import task_of
from heliostat.watch.cohorts import score_cohort

NUM_ROWS = 40
KINDS = (Binary("y"), Classes("y", values=("a", "b", "c")), Quantity("y"))


def _answers(task, random) -> np.ndarray:
    if task.kind == "classes":
        return random.dirichlet(np.ones(3), NUM_ROWS)
    return random.random(NUM_ROWS) if task.kind == "binary" else random.random((NUM_ROWS, 4)).cumsum(axis=1)


@pytest.mark.parametrize("label", KINDS, ids=lambda one: type(one).__name__)
def test_what_triggers_look_at_is_what_the_live_monitor_is_told(label):
    task, random = task_of(label), np.random.default_rng(0)
    answers, labels = _answers(task, random), random.integers(0, 2, NUM_ROWS).astype(float)
    labels[::7] = np.nan
    joined = pa.table(
        {
            "matures_at": pa.array([instant(1)] * NUM_ROWS, pa.timestamp("us", tz="UTC")),
            "degraded": np.zeros(NUM_ROWS, bool),
            "version": np.ones(NUM_ROWS, np.int64),
            "label": pa.array(labels, mask=np.isnan(labels)),
            **task.columns(answers),
        }
    )
    live = score_cohort(joined, since=instant(1), until=instant(1) + DAY, task=task).score_by_version[1]
    found = score(labels, answers, task)
    assert (found.num_predictions, found.num_labelled) == (live.num_predictions, live.num_labelled)
    assert found.expected == live.expected
    assert found.score_by_metric == {one.name: live.score_by_metric[one.name] for one in (task.loss, task.score)}
