"""How the declared time is shared out among the fits of a run, and what a fit keeps when its share is over."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from heliostat import Trees
from heliostat.learn.fit import fit, refit
from heliostat.learn.fit_time import Pace, share_s
from heliostat.learn.fit_trees import fit_trees, refit_trees
from heliostat.learn.rows import split_by_time
from heliostat.learn.state import FitState
from tests import toy_trees
from tests.toy_rows import labelled_rows

WORKLOAD = replace(
    toy_trees.workload,
    trees=Trees(rounds=200, patience=200),
    training=replace(toy_trees.workload.training, epochs=6),
)


@pytest.fixture(scope="module")
def parts():
    return split_by_time(labelled_rows("2024-01", "2024-02", rows_per_part=300), share=0.2)


@pytest.mark.parametrize(("num_judged", "is_contest"), [(1, True), (2, True), (5, True), (1, False), (4, False)])
def test_fits_that_each_take_their_share_end_in_time_with_the_longest_of_them_again(num_judged, is_contest):
    random = np.random.default_rng(num_judged)
    for again_costs in (1.0, 1.3):
        for _ in range(200):
            left_s, longest_s = 600.0, 0.0
            for number in range(num_judged):
                to_come = num_judged - number
                num_again = 1 if is_contest else to_come
                may_s = share_s(left_s, num_judged=to_come, num_again=num_again, again_costs=again_costs)
                took_s = may_s * random.choice([1.0, random.random()])
                left_s -= took_s if is_contest else took_s * (1 + again_costs)
                longest_s = max(longest_s, took_s)
            assert left_s - (longest_s * again_costs if is_contest else 0.0) >= -1e-6


def test_equal_fits_have_equal_shares_and_what_a_quick_one_leaves_is_there_for_the_next():
    assert share_s(600.0, num_judged=2, num_again=1, again_costs=1.0) == 200.0
    assert share_s(590.0, num_judged=1, num_again=1, again_costs=1.0) == 295.0
    assert share_s(-5.0, num_judged=1, num_again=1, again_costs=1.0) == 0.0


def test_what_would_end_too_late_at_the_pace_so_far_does_not_begin():
    pace = Pace(10.0, began_s=100.0)
    assert not pace.is_over(1, now_s=105.0)
    assert pace.is_over(1, now_s=105.1)
    assert not pace.is_over(9, now_s=109.0)
    assert pace.is_over(3, now_s=109.0)


@pytest.mark.parametrize(("fits", "num_done"), [(fit, 2), (fit_trees, 70)])
def test_a_fit_whose_time_is_over_keeps_the_best_so_far_and_says_so(parts, fits, num_done):
    whole = fits(WORKLOAD, *parts, seed=1)
    states = []
    cut = fits(
        WORKLOAD,
        *parts,
        seed=1,
        is_over=lambda number: number >= num_done,
        on_epoch=lambda state: states.append(state.to_bytes()),
    )
    assert (cut.is_cut, whole.is_cut) == (True, False)
    assert cut.history == whole.history[:num_done]
    losses = [scores.validation_loss for scores in cut.history]
    assert cut.best_epoch == losses.index(min(losses))
    last = FitState.from_bytes(states[-1])
    assert last.is_cut
    again = fits(WORKLOAD, *parts, seed=1, resume=last)  # it was lost after that, and has all the time now
    assert again.history == cut.history
    assert again.is_cut


@pytest.mark.parametrize(("fits", "least"), [(fit, 1), (fit_trees, 50)])
def test_the_first_epoch_or_portion_of_rounds_is_always_done(parts, fits, least):
    assert len(fits(WORKLOAD, *parts, seed=1, is_over=lambda _: True).history) == least


def test_a_fit_that_reached_its_end_in_time_was_not_cut(parts):
    done = []
    fitted = fit(WORKLOAD, *parts, seed=1, is_over=lambda number: bool(done.append(number)))
    assert not fitted.is_cut
    assert done == [1, 2, 3, 4, 5]


def test_a_refit_does_as_many_as_the_fit_chose_that_was_cut(parts):
    cut = fit(WORKLOAD, *parts, seed=1, is_over=lambda number: number >= 2)
    num_epochs = cut.best_epoch + 1
    again = refit(WORKLOAD, parts[0], num_epochs=num_epochs, calibration=cut.calibration, seed=1)
    assert len(again.history) == num_epochs
    twice = refit(WORKLOAD, parts[0], num_epochs=num_epochs, calibration=cut.calibration, seed=1)
    assert all(torch.equal(twice.weights[name], again.weights[name]) for name in again.weights)
    boosted = refit_trees(WORKLOAD, parts[0], num_rounds=70, calibration=cut.calibration, seed=1)
    assert len(boosted.history) == 70
