"""Rows are scored in portions that follow from the batch, so that what could learn from rows can answer them, too."""

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from ray import tune

from heliostat import Training
from heliostat.errors import TrainingError
from heliostat.learn import shares
from heliostat.learn.bundle import served
from heliostat.learn.fit import fit
from heliostat.learn.portions import MOST_PIECES, in_portions, most_rows, piece_rows
from heliostat.learn.rows import split_by_time
from heliostat.metrics import log_loss
from jobs import _tuning
from tests.toy import Network, workload
from tests.toy_rows import labelled_rows

TRAIN, LATER = split_by_time(labelled_rows("2024-01", "2024-02", rows_per_part=400), share=0.5)
SMALL = Training(epochs=1, batch_size=8)


class Noting(Network):
    """Notes how many rows it was given at once."""

    learned: tuple[int, ...] = ()
    answered: tuple[int, ...] = ()

    def forward(self, encoded):
        kind = "learned" if self.training else "answered"
        setattr(Noting, kind, (*getattr(Noting, kind), len(encoded["site"])))
        return super().forward(encoded)


class Roomy(Network):
    """Takes more memory than there is for more than 20 rows, when they are answered."""

    def forward(self, encoded):
        num_too_many = 0 if self.training else max(0, len(encoded["site"]) - 20)
        return super().forward(encoded) + encoded["numbers"].new_ones(num_too_many * 2**50).sum()


def noted(training):
    Noting.learned = Noting.answered = ()
    return replace(workload, model=lambda sizes: Noting(sizes["site"]), training=training)


def rows_of(start, end):
    return list(range(start, end)), {"x": torch.zeros(end - start, 2)}


def test_portions_have_every_row_once_in_order_and_grow_up_to_the_most():
    portions = in_portions(rows_of, num_rows=100, first_rows=8, most_rows=32)
    assert list(chain.from_iterable(portions)) == list(range(100))
    assert [len(portion) for portion in portions] == [8, 32, 32, 28]


def test_what_encode_makes_of_a_row_bounds_a_portion_but_never_below_the_first(monkeypatch):
    monkeypatch.setattr(shares, "BYTES_AT_ONCE", 20 * 8)
    assert list(map(len, in_portions(rows_of, num_rows=50, first_rows=8))) == [8, 20, 20, 2]
    assert list(map(len, in_portions(rows_of, num_rows=50, first_rows=24))) == [24, 24, 2]


def test_where_memory_does_not_suffice_portions_are_halved_and_stay_small():
    tried = []

    def answered(start, end):
        tried.append(end - start)
        torch.ones(max(0, end - start - 5) * 2**50)
        return rows_of(start, end)

    portions = in_portions(answered, num_rows=30, first_rows=16)
    assert list(chain.from_iterable(portions)) == list(range(30))
    assert tried == [16, 8, 4, 4, 4, 4, 4, 4, 4, 2]
    with pytest.raises(RuntimeError, match="allocate memory"):
        in_portions(answered, num_rows=30, first_rows=16, may_halve=False)


def test_a_row_that_is_too_large_alone_is_not_tried_for_ever():
    with pytest.raises(MemoryError):
        in_portions(lambda start, end: np.ones((end - start) * 2**55), num_rows=30, first_rows=16)


def test_any_other_fault_is_raised_at_once():
    tried = []

    def answered(start, end):
        tried.append(end - start)
        raise ValueError("no such load")

    with pytest.raises(ValueError, match="no such load"):
        in_portions(answered, num_rows=30, first_rows=16)
    assert tried == [16]


def test_a_piece_is_what_a_worker_learns_from_at_once():
    assert piece_rows(Training(batch_size=512)) == 512
    assert piece_rows(Training(batch_size=512, accumulate=4, num_workers=(1, 2))) == 64
    assert piece_rows(Training(batch_size=1, accumulate=4)) == 1
    assert most_rows(Training(batch_size=16)) == MOST_PIECES * 16


def test_a_fit_scores_no_more_rows_at_once_than_its_batch_allows():
    own = noted(SMALL)
    fitted = fit(own, TRAIN, LATER, seed=1)
    assert max(Noting.learned) == 8
    assert Noting.answered[:2] == (8, 8 * MOST_PIECES)
    assert max(Noting.answered) == 8 * MOST_PIECES < LATER.num_rows
    Noting.answered = ()
    served(own, fitted).answers(LATER)
    assert max(Noting.answered) == 8 * MOST_PIECES


def test_a_trial_scores_no_more_rows_at_once_than_its_batch_allows(monkeypatch):
    own = noted(SMALL)
    monkeypatch.setattr(tune, "report", lambda *_, **__: None)
    monkeypatch.setattr(tune, "get_checkpoint", lambda: None)
    _tuning._fit(own, log_loss, TRAIN, LATER, device="cpu")
    assert max(Noting.answered) == 8 * MOST_PIECES


def test_answers_do_not_depend_on_how_many_rows_are_answered_at_once():
    fitted = fit(workload, TRAIN, LATER, seed=1)
    small = replace(workload, training=SMALL)
    assert np.allclose(served(small, fitted).answers(LATER), served(workload, fitted).answers(LATER), atol=1e-6)


def test_a_network_that_can_learn_from_its_batches_is_scored_and_answers():
    own = replace(workload, model=lambda sizes: Roomy(sizes["site"]), training=Training(epochs=2, batch_size=64))
    usual = replace(workload, training=own.training)
    fitted, expected = fit(own, TRAIN, LATER, seed=1), fit(usual, TRAIN, LATER, seed=1)
    assert fitted.history[-1].validation_loss == pytest.approx(expected.history[-1].validation_loss, abs=1e-6)
    assert np.allclose(served(own, fitted).answers(LATER), served(usual, expected).answers(LATER), atol=1e-6)


def test_where_one_row_is_too_large_to_answer_no_smaller_batch_is_advised():
    class Huge(Network):
        def forward(self, encoded):
            extra = 0.0 if self.training else encoded["numbers"].new_ones(2**50).mean()
            return super().forward(encoded) + extra

    own = replace(workload, model=lambda sizes: Huge(sizes["site"]), training=SMALL)
    with pytest.raises(TrainingError, match="not suffice for a single row; make the network or what encode gives sm"):
        fit(own, TRAIN, LATER, seed=1)
