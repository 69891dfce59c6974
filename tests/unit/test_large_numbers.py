"""Numbers that a network or a squared error cannot hold are told with the column and the row they are in."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from heliostat import Number, Training, Trees
from heliostat.errors import TrainingError
from heliostat.learn.fit import fit
from heliostat.learn.fit_trees import fit_trees
from heliostat.learn.rows import split_by_time
from heliostat.learn.tabular import network
from tests.toy import Network, encode, workload
from tests.toy_kinds import wear
from tests.toy_rows import labelled_rows

ROWS = labelled_rows("2024-01", rows_per_part=300)
COLUMNS = [*workload.columns, Number("pressure", -1e308, 1e308)]
QUICK = Training(epochs=1, batch_size=64)


def with_pressure(values):
    return split_by_time(ROWS.append_column("pressure", [values]), share=0.2)


def own(read):
    return replace(workload, columns=COLUMNS, encode=read, training=QUICK)


def pressed(batch):
    with np.errstate(over="ignore"):
        return {**encode(batch), "pressure": torch.from_numpy(batch["pressure"].astype(np.float32))}


def test_the_network_for_tables_names_column_row_and_remedy():
    table = replace(workload, columns=COLUMNS, **network(COLUMNS), training=QUICK)
    one = np.ones(ROWS.num_rows)
    one[77] = -2e300
    train, later = with_pressure(one)
    key = train["key"][77].as_py()
    said = rf"^pressure of the row with key '{key}' at 2024-\S+ is -2e\+300, and networks see numbers up to 3.4e\+38; "
    with pytest.raises(TrainingError, match=rf"{said}scale it where the rows come from, or bound Number\('pressure'"):
        fit(table, train, later, seed=1)
    every = np.full(ROWS.num_rows, 1e300)
    with pytest.raises(TrainingError, match=r"^pressure of the row with key '2024-01-000000' at \S+ is 1e\+300, and"):
        fit(table, *with_pressure(every), seed=1)


def test_numbers_up_to_what_a_network_can_hold_are_learned_from():
    table = replace(workload, columns=COLUMNS, **network(COLUMNS), training=QUICK)
    values = np.random.default_rng(1).normal(size=ROWS.num_rows) * 1e37
    assert np.isfinite(fit(table, *with_pressure(values), seed=1).history[0].validation_loss)


def test_an_encode_of_ones_own_is_told_the_column_too():
    one = np.ones(ROWS.num_rows)
    one[77] = 2e300
    train, later = with_pressure(one)
    key = train["key"][77].as_py()
    with pytest.raises(TrainingError) as caught:
        fit(replace(own(pressed), model=lambda sizes: Pressed(sizes["site"])), train, later, seed=1)
    assert f"pressure of the row with key '{key}' at " in str(caught.value)
    assert " is 2e+300, and networks see numbers up to 3.4e+38 (test_large_numbers.py, line" in str(caught.value)


class Pressed(Network):
    def forward(self, encoded):
        return super().forward(encoded) + 1e-30 * encoded["pressure"]


@pytest.mark.parametrize("boost", [False, True])
def test_labels_without_a_finite_standard_deviation_are_refused(boost):
    told = replace(wear, training=QUICK, trees=Trees(rounds=2))
    labels = np.random.default_rng(1).uniform(1, 2, ROWS.num_rows) * 1e300
    rows = ROWS.set_column(ROWS.column_names.index("label"), "label", [labels])
    with pytest.raises(TrainingError, match=r"The labels go from 1\S*e\+300 to \S+e\+300, so far .* in a larger unit"):
        (fit_trees if boost else fit)(told, *split_by_time(rows, share=0.2), seed=1)
