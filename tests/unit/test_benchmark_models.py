"""What is compared in benchmarks/models.py, for each kind of label."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.model_baselines import shaped
from benchmarks.model_data import read
from benchmarks.models import losses_of, options_of
from heliostat import Classes, Quantity
from heliostat.tasks import task_of

ROOMS = ["A"] * 150 + ["B"] * 49 + ["L"]


def test_classes_below_a_hundredth_of_the_rows_count_as_one_and_rows_without_a_label_are_left_out(tmp_path):
    asked = {"at": np.arange(200).astype("M8[D]"), "room": [*ROOMS[:-2], None, "L"], "nights": [1.0] * 200}
    pq.write_table(pa.table(asked), tmp_path / "rows")
    given = ["--data", str(tmp_path / "rows"), "--event-time", "at", "--label", "room", "--kind", "classes"]
    rows, columns, label = read(options_of().parse_args(given))
    assert label == Classes("label", ("A", "B", "other"))
    assert np.unique(rows["label"].to_numpy(), return_counts=True)[1].tolist() == [150, 48, 1]
    assert [column.name for column in columns] == ["nights"]


def test_probabilities_of_a_class_that_was_never_learned_from_are_zero():
    task = task_of(Classes("label", ("A", "B", "C")))
    found = shaped(task, np.array([0.0, 2.0]), np.array([[0.25, 0.75]]))
    assert found.tolist() == [[0.25, 0.0, 0.75]]


def test_of_a_quantity_the_share_of_the_variance_that_is_left_is_compared():
    task, labels = task_of(Quantity("label")), np.array([1.0, 2.0, 3.0, 6.0])
    assert losses_of(task, labels, labels).tolist() == [0.0] * 4
    assert losses_of(task, labels, np.full(4, labels.mean())).mean() == 1.0
