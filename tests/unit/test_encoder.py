"""Rows of training are encoded several batches at once, and each step gets what it would get alone."""

from dataclasses import replace

import pytest
import torch

from heliostat.errors import TrainingError
from heliostat.learn import shares
from heliostat.learn.encoder import Encoder
from heliostat.learn.examples import Examples
from heliostat.learn.objective import BinaryObjective
from heliostat.learn.prepare import Preparation
from heliostat.learn.rows import ordered
from heliostat.learn.shares import InMemory
from tests.toy import workload
from tests.toy_rows import labelled_rows

BATCH_ROWS = 50


class Watched:
    """The toy's workload, whose `encode` notes how many rows it was given."""

    def __init__(self, encode=workload.encode):
        self.sizes = []

        def watched(batch):
            self.sizes.append(len(batch["site"]))
            return encode(batch)

        self.workload = replace(workload, encode=watched)
        self.encoder = Encoder(self.workload, targets=BinaryObjective().targets, device="cpu")


def taken(*, num_rows=None):
    rows = ordered(labelled_rows("2024-01", rows_per_part=600), workload, purpose="training")[:num_rows]
    feed = InMemory(Examples.of(rows, Preparation.fit(rows, workload.columns)))
    return [share for _, share in feed.shares(seeds=[1, 0], batch_rows=BATCH_ROWS)]


@pytest.fixture(scope="module")
def batches():
    return taken()


def readied(watched, batches, *, num_left=None):
    num_all = len(batches)
    return [watched.encoder.ready(share, num_left=num_left or num_all - number) for number, share in enumerate(batches)]


def test_a_batch_of_many_is_encoded_as_it_is_alone_in_few_calls(batches):
    watched = Watched()
    for share, ready in zip(batches, readied(watched, batches), strict=True):
        alone = workload.encode(share.examples.batch)
        assert all(torch.equal(ready.encoded[name], tensor) for name, tensor in alone.items())
        assert ready.targets.tolist() == share.examples.labels.tolist()
    num_rows = sum(share.num_rows for share in batches)
    assert watched.sizes == [batches[0].num_rows, num_rows - batches[0].num_rows]


def test_nothing_is_encoded_beyond_what_is_left_before_all_begins_anew(batches):
    watched = Watched()
    for start in range(0, 6, 3):
        watched.encoder.begin()
        for number in range(3):
            watched.encoder.ready(batches[start + number], num_left=3 - number)
    first, fourth = batches[0].num_rows, batches[3].num_rows
    assert watched.sizes == [first, 2 * batches[1].num_rows, fourth, 2 * batches[4].num_rows]


def test_no_row_is_given_to_encode_twice_as_it_may_write_to_it():
    def writes(batch):
        batch["load_percent"] += 1000.0
        return workload.encode(batch)

    watched, own = Watched(writes), taken(num_rows=444)
    assert {share.num_rows for share in own} == {49, 50}
    loads = []
    for start in range(0, 9, 3):
        watched.encoder.begin()
        for number in range(3):
            ready = watched.encoder.ready(own[start + number], num_left=3 - number)
            loads.append(ready.encoded["numbers"][:, 0] * 50 + 50)
    assert len(torch.cat(loads)) == sum(watched.sizes) == 444
    assert 1000 <= torch.cat(loads).min() <= torch.cat(loads).max() <= 1100.01


def test_where_encode_makes_much_of_a_row_it_gets_one_batch_at_a_time(batches):
    def wide(batch):
        return {**workload.encode(batch), "wide": torch.zeros(len(batch["site"]), shares.BYTES_AT_ONCE // 100)}

    watched = Watched(wide)
    readied(watched, batches)
    assert watched.sizes == [share.num_rows for share in batches]


def test_rows_that_are_large_themselves_are_taken_a_batch_at_a_time(batches, monkeypatch):
    examples = batches[0].block
    monkeypatch.setattr(shares, "BYTES_AT_ONCE", int(3.5 * BATCH_ROWS * examples.num_bytes_a_row))
    found = [share for _, share in shares.shares(examples, seeds=[1, 0], num_batches=len(batches))]
    assert max(share.block.num_rows for share in found) <= 3.5 * BATCH_ROWS
    assert [share.examples.labels.tolist() for share in found] == [
        share.examples.labels.tolist()
        for _, share in InMemory(examples).shares(seeds=[1, 0], batch_rows=examples.num_rows / len(batches))
    ]


def test_a_row_that_encode_fails_on_is_named_whichever_batch_it_is_in(batches):
    odd = batches[5].examples
    value = odd.batch["load_percent"][7]

    def fails_on_odd(batch):
        if (batch["load_percent"] == value).any():
            raise KeyError("no such load")
        return workload.encode(batch)

    watched = Watched(fails_on_odd)
    with pytest.raises(TrainingError) as raised:
        readied(watched, batches)
    assert f"encode failed with KeyError: 'no such load' on {odd.row_name(7)}" in str(raised.value)
