import sys
from dataclasses import dataclass, replace

import pyarrow as pa
import pytest
import torch
from torch import nn

from heliostat import Number
from heliostat.check import check
from heliostat.errors import ContractError, WorkloadError
from tests import toy

TABLE = toy.Machines(rows_per_part=300).read("2024-01")


@dataclass(frozen=True)
class Given:
    """A source of one given table."""

    table: pa.Table

    def parts(self):
        return ["only"]

    def read(self, part):
        return self.table


def with_table(table):
    return replace(toy.workload, source=Given(table))


def changed(name, values):
    return with_table(TABLE.set_column(TABLE.schema.get_field_index(name), name, values))


def test_the_toy_and_the_flights_pass():
    check(toy.workload)


def test_a_name_that_the_lake_uses_is_refused():
    with pytest.raises(WorkloadError, match="sequence"):
        check(replace(toy.workload, columns=[*toy.workload.columns, Number("sequence", low=0, high=1)]))


def test_a_column_that_the_source_lacks_is_named():
    with pytest.raises(ContractError, match="load_percent"):
        check(with_table(TABLE.drop_columns(["load_percent"])))


def test_instants_without_a_time_zone_are_refused():
    naive = TABLE["read_at"].cast(pa.timestamp("us"))
    with pytest.raises(WorkloadError, match="time zone"):
        check(changed("read_at", naive))


def test_ranges_that_most_rows_break_are_told_with_an_example():
    with pytest.raises(WorkloadError, match="load_percent must lie between"):
        check(replace(toy.workload, columns=[Number("load_percent", low=0, high=1), *toy.workload.columns[1:]]))


def test_a_key_that_repeats_is_refused():
    with pytest.raises(WorkloadError, match="does not tell rows apart"):
        check(changed("reading", pa.array(["same"] * TABLE.num_rows)))


def test_a_label_that_is_not_binary_is_refused():
    with pytest.raises(WorkloadError, match=r"must be 0 or 1; it also holds \[2.0\]"):
        check(changed("failed", pa.array([2.0] * TABLE.num_rows)))


def test_an_error_in_encode_is_one_sentence_with_file_and_line():
    def encode(batch):
        return {"x": batch["no_such_column"]}

    with pytest.raises(WorkloadError, match=r"encode failed with KeyError: 'no_such_column' \(.*test_check.py, line"):
        check(replace(toy.workload, encode=encode))


def test_an_encode_that_ends_the_process_is_told_as_any_other_mistake():
    def encode(batch):
        sys.exit(3)

    with pytest.raises(WorkloadError, match=r"encode failed with SystemExit: 3 \(.*test_check.py, line"):
        check(replace(toy.workload, encode=encode))


def test_an_encode_that_looks_at_other_rows_is_refused():
    def encode(batch):
        load = torch.from_numpy(batch["load_percent"]).float()
        return {"x": (load - load.mean()).unsqueeze(1)}

    with pytest.raises(WorkloadError, match="for a row alone than in a batch"):
        check(replace(toy.workload, encode=encode))


def test_a_network_of_the_wrong_shape_is_refused_before_any_training():
    class Wide(nn.Linear):
        def forward(self, encoded):
            return torch.zeros(len(encoded["site"]), 2)

    with pytest.raises((WorkloadError, ValueError, RuntimeError), match="one logit a row"):
        check(replace(toy.workload, model=lambda sizes: Wide(1, 1)))
