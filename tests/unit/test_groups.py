"""Quality by group and by how probable an outcome was called."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from heliostat import Watching
from heliostat.errors import WorkloadError
from heliostat.watch import groups, reliability
from heliostat.watch.bins import CategoryBins, NumberBins
from heliostat.watch.groups import GroupTally, gaps, tallies
from tests.toy_quick import workload

BINS = (CategoryBins(name="region", levels=("north", "south")), NumberBins(name="age", cuts=(30.0,)))


def rows(num_rows, seed):
    random = np.random.default_rng(seed)
    region = random.choice(["north", "south", "west"], num_rows)
    table = pa.table({"region": region, "age": random.uniform(18, 70, num_rows)})
    p = random.beta(2, 2, num_rows)
    return table, region, p, (random.random(num_rows) < p).astype(float)


def gap_of(found, group, measure):
    (one,) = [gap for gap in found if (gap.column, gap.group, gap.measure) == ("region", group, measure)]
    return one


def test_a_group_that_is_served_worse_shows_a_gap_whose_interval_leaves_out_zero():
    table, region, p, labels = rows(6_000, seed=1)
    labels = np.where(region == "south", 1 - labels, labels)
    found = gaps(tallies(table, BINS, labels=labels, answers=p))
    for measure, sign in (("loss", 1), ("true_positive_rate", -1), ("false_positive_rate", 1)):
        gap = gap_of(found, "south", measure)
        assert sign * gap.difference > gap.half_width
    rate = gap_of(found, "south", "rate")
    assert abs(rate.difference) < rate.half_width


def test_equal_groups_hardly_ever_show_a_gap():
    num_shown, num_streams = 0, 200
    for seed in range(num_streams):
        table, _, p, labels = rows(600, seed=seed)
        found = gaps(tallies(table, BINS[:1], labels=labels, answers=p))
        num_shown += any(abs(gap.difference) > gap.half_width for gap in found if gap.measure == "rate")
    assert num_shown / num_streams <= 0.08  # declared: 5%


def test_a_group_of_few_rows_has_no_gap():
    table = pa.table({"region": ["north"] * 29 + ["south"] * 100})
    labels, p = np.ones(129), np.full(129, 0.7)
    assert gaps(tallies(table, BINS[:1], labels=labels, answers=p)) == []


def test_groups_are_the_bins_and_so_never_many():
    table = pa.table({"region": [f"r{number}" for number in range(500)], "age": np.arange(500.0)})
    found = tallies(table, BINS, labels=np.zeros(500), answers=np.zeros(500))
    assert {column: set(by_group) for column, by_group in found.items()} == {
        "region": {"<other>"},
        "age": {"up to 30.0", "above 30.0"},
    }


def test_tallies_of_cohorts_add_up_and_survive_storage():
    table, _, p, labels = rows(900, seed=3)
    whole = tallies(table, BINS, labels=labels, answers=p)
    parts = [
        tallies(table.slice(since, 300), BINS, labels=labels[since : since + 300], answers=p[since : since + 300])
        for since in (600, 0, 300)
    ]
    total = groups.added(parts)
    for column, by_group in whole.items():
        for group, tally in by_group.items():
            assert total[column][group].num_true == tally.num_true
            assert total[column][group].loss_sum == pytest.approx(tally.loss_sum)
    assert groups.from_json(groups.to_json(whole)) == whole


def test_a_watched_column_that_is_not_in_the_contract_is_refused():
    with pytest.raises(WorkloadError, match="nowhere"):
        replace(workload, watching=Watching(sensitive=("nowhere",)))


def test_reliability_says_by_bin_what_was_said_and_what_came():
    p = np.array([0.05, 0.05, 0.55, 0.55, 1.0])
    bins = reliability.reliability(np.array([0.0, 1.0, 1.0, 1.0, 1.0]), p)
    assert [(one.until, one.num_rows, one.predicted, one.observed) for one in bins] == [
        (0.1, 2, 0.05, 0.5),
        (0.6, 2, 0.55, 1.0),
        (1.0, 1, 1.0, 1.0),
    ]
    assert reliability.expected_calibration_error(bins) == pytest.approx((2 * 0.45 + 2 * 0.45) / 5)
    assert reliability.from_json(reliability.to_json(bins)) == bins
    assert np.isnan(reliability.expected_calibration_error(()))


def test_a_tally_less_a_part_is_the_rest():
    _, _, p, labels = rows(100, seed=4)
    whole, part = GroupTally.of(labels, p), GroupTally.of(labels[:40], p[:40])
    rest = whole - part
    assert (rest.num_rows, rest.num_positive) == (60, int(labels[40:].sum()))
