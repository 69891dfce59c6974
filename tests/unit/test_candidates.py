"""Which candidates a turn fits and which goes on, on losses row by row."""

import numpy as np
import pytest

from heliostat.govern.candidates import (
    ALL,
    RECENT,
    SINCE,
    Contender,
    best,
    can_win,
    difference,
    num_choosing,
    returns,
    sure_gain,
    windows,
)

BLOCKS = np.arange(400) // 20


def contender(name, losses, *, is_passed=True, gain=0.0):
    return Contender(name=name, losses=losses, is_passed=is_passed, sure_gain=gain)


def losses(mean, *, seed=0):
    return np.random.default_rng(seed).normal(mean, 0.1, 400)


def test_the_shortest_window_comes_first():
    found = windows({ALL: 1000, SINCE: 200, RECENT: 500}, can_learn=lambda size: True)
    assert found == [(SINCE, 200), (RECENT, 500), (ALL, 1000)]


def test_of_two_windows_alike_the_one_named_first_stays():
    assert windows({ALL: 1000, SINCE: 900, RECENT: None}, can_learn=lambda size: True) == [(ALL, 1000)]


def test_a_window_that_cannot_be_learned_from_is_left_out():
    assert windows({ALL: 1000, SINCE: 50}, can_learn=lambda size: size > 100) == [(ALL, 1000)]


def test_after_a_sure_win_only_older_rows_are_needless():
    won = [contender(SINCE, losses(0.4), gain=0.01)]
    assert not can_win(won, is_older=True)
    assert can_win(won, is_older=False)
    assert can_win([contender(SINCE, losses(0.4), gain=-0.01)], is_older=True)


def test_all_history_goes_on_unless_a_shorter_window_is_surely_better():
    near = [contender(SINCE, np.sort(losses(0.499, seed=1))), contender(ALL, losses(0.5, seed=2))]
    far = [contender(SINCE, losses(0.4, seed=1)), contender(ALL, losses(0.5, seed=2))]
    assert (best(near, BLOCKS), best(far, BLOCKS)) == (1, 0)


def test_how_sure_a_shorter_window_must_be_may_be_asked_for():
    mean, error = difference(losses(0.5, seed=1), losses(0.5, seed=2), BLOCKS)
    shorter = losses(0.5, seed=1) - mean - 1.3 * error  # better by so many errors
    judged = [contender(SINCE, shorter), contender(ALL, losses(0.5, seed=2))]
    assert [best(judged, BLOCKS, num_errors=errors) for errors in (1.0, 1.64)] == [0, 1]


def test_who_passed_goes_before_who_did_not():
    found = [contender(SINCE, losses(0.3), is_passed=False), contender(ALL, losses(0.5))]
    assert best(found, BLOCKS) == 1
    assert best([contender(SINCE, losses(0.3), is_passed=False)], BLOCKS) == 0


@pytest.mark.parametrize(("mean", "is_sure"), [(0.4, True), (0.5, False), (0.6, False)])
def test_a_gain_is_sure_when_its_bound_lies_above_zero(mean, is_sure):
    assert (sure_gain(losses(mean, seed=1), losses(0.5, seed=2), BLOCKS) > 0) == is_sure


def test_of_few_days_nothing_is_sure_and_all_history_goes_on():
    days = np.arange(400) // 100
    assert sure_gain(losses(0.4, seed=1), losses(0.5, seed=2), days) == -np.inf
    far = [contender(SINCE, losses(0.4, seed=1)), contender(ALL, losses(0.5, seed=2))]
    assert best(far, days) == 1


def test_on_no_rows_no_gain_is_sure():
    assert sure_gain(np.zeros(0), np.zeros(0), np.zeros(0)) == -np.inf


def test_an_archived_champion_is_back_within_two_errors_of_its_time():
    assert returns(0.52, reference=0.5, error=0.01)
    assert not returns(0.521, reference=0.5, error=0.01)
    assert returns(0.52, reference=0.5, error=0.0)


def test_all_history_challenges_a_champion_that_learned_from_less_whoever_won_before():
    won = [contender(SINCE, losses(0.4), gain=0.01)]
    assert can_win(won, is_older=True, is_all=True, knows_all=False)
    assert not can_win(won, is_older=True, is_all=True, knows_all=True)
    assert not can_win(won, is_older=True, is_all=False, knows_all=False)


def test_of_two_kinds_that_learned_from_all_history_the_better_goes_on():
    kinds = [contender(ALL, losses(0.499, seed=1)), contender(ALL, losses(0.5, seed=2))]
    assert best(kinds, BLOCKS) == int(np.argmin([one.loss for one in kinds]))
    assert best(kinds[::-1], BLOCKS) == int(np.argmin([one.loss for one in kinds[::-1]]))


@pytest.mark.parametrize(
    ("num_rows", "split", "found"),
    [(1000, None, 0), (1000, 0.5, 500), (1000, 0.8, 800), (1000, 0.81, 0), (399, 0.5, 0), (400, 0.5, 200)],
)
def test_a_part_of_the_hold_out_chooses_where_enough_is_left_to_judge_on(num_rows, split, found):
    assert num_choosing(num_rows, split=split, at_least=200) == found
