"""Which candidates a turn fits, which goes on and who comes back, on losses row by row."""

from dataclasses import replace

import numpy as np
import pytest

from heliostat.govern.candidates import (
    ALL,
    RECENT,
    SINCE,
    Archived,
    Race,
    Window,
    difference,
    num_choosing,
    num_judging,
    returning,
    returns,
    sure_gain,
    windows,
)

BLOCKS = np.arange(400) // 20
STALE = np.random.default_rng(9).normal(0.6, 0.1, 400)  # what a champion loses


def race(*added, blocks=BLOCKS, champion=STALE, knows_all=True):
    made = Race(champion, blocks, knows_all=knows_all)
    for name, lost in added:
        made.add(name, lost)
    return made


def losses(mean, *, seed=0):
    return np.random.default_rng(seed).normal(mean, 0.1, 400)


def planned(declared, **given):
    asked = {"num_since": None, "num_recent": None, "can_learn": lambda size: True, **given}
    return [(one.name, one.num_rows) for one in windows(declared, **asked)]


def test_after_a_change_the_rows_since_it_come_first_and_recent_rows_are_not_tried():
    assert planned({ALL: 1000}, num_since=200, num_recent=500) == [(SINCE, 200), (ALL, 1000)]
    assert planned({ALL: 1000}, num_since=0, num_recent=500) == [(ALL, 1000)]


def test_without_a_known_change_recent_rows_are_tried_and_all_history_comes_first():
    assert planned({ALL: 1000}, num_recent=500) == [(ALL, 1000), (RECENT, 500)]


def test_only_windows_from_before_the_change_are_older():
    found = windows({"last-30d": 150, ALL: 1000}, num_since=200, num_recent=None, can_learn=lambda size: True)
    assert [(one.name, one.is_older) for one in found] == [("last-30d", False), (SINCE, False), (ALL, True)]
    calm = windows({ALL: 1000}, num_since=None, num_recent=500, can_learn=lambda size: True)
    assert calm == [Window(name=ALL, num_rows=1000), Window(name=RECENT, num_rows=500)]


def test_of_two_windows_alike_the_one_named_first_stays():
    assert planned({ALL: 1000}, num_since=900) == [(ALL, 1000)]


def test_a_window_that_cannot_be_learned_from_is_left_out():
    assert planned({ALL: 1000}, num_since=50, can_learn=lambda size: size > 100) == [(ALL, 1000)]


@pytest.mark.parametrize(
    ("usual", "num_since", "found"), [(900, None, 900), (900, 1500, 500), (900, 9000, 900), (900, 300, 200)]
)
def test_after_a_change_at_most_a_third_of_the_rows_since_it_judges(usual, num_since, found):
    assert num_judging(usual, num_since=num_since, at_least=200) == found


def test_after_a_sure_win_only_older_rows_are_needless():
    won = race((SINCE, losses(0.4)))
    assert not won.can_win(ALL, is_older=True)
    assert won.can_win(ALL, is_older=False)
    assert race((SINCE, STALE + 0.01)).can_win(ALL, is_older=True)


def test_all_history_goes_on_unless_a_shorter_window_is_surely_better():
    near = race((SINCE, np.sort(losses(0.499, seed=1))), (ALL, losses(0.5, seed=2)))
    far = race((SINCE, losses(0.4, seed=1)), (ALL, losses(0.5, seed=2)))
    assert (near.winner(), far.winner()) == (1, 0)


@pytest.mark.parametrize(("num_errors", "winner"), [(1.3, 1), (1.64, 1), (1.65, 0)])
def test_a_shorter_window_must_be_better_by_the_one_sided_bound(num_errors, winner):
    mean, error = difference(losses(0.5, seed=1), losses(0.5, seed=2), BLOCKS)
    shorter = losses(0.5, seed=1) - mean - num_errors * error
    assert race((SINCE, shorter), (ALL, losses(0.5, seed=2))).winner() == winner


def test_contenders_are_compared_with_each_other_and_not_by_what_they_gain_on_the_champion():
    hard = np.random.default_rng(4).normal(0, 1, 20)[BLOCKS]  # days on which every candidate loses alike
    alike = [(RECENT, losses(0.5, seed=1) + hard), (ALL, losses(0.6, seed=2) + hard)]
    assert sure_gain(alike[0][1], STALE, BLOCKS) < 0
    assert race(*alike).winner() == 0


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_who_answers_no_number_to_a_row_never_goes_before_who_does(odd):
    broken, sound = losses(0.3, seed=1), losses(0.5, seed=2)
    broken[7] = odd
    for names in ((ALL, RECENT), (RECENT, ALL), (RECENT, "last-9d"), (ALL, ALL)):
        assert race((names[0], broken), (names[1], sound)).winner() == 1
        assert race((names[0], sound), (names[1], broken)).winner() == 0
    assert race((RECENT, broken), (ALL, broken)).winner() in (0, 1)


def test_without_all_history_the_lowest_goes_on():
    assert race((SINCE, losses(0.499, seed=1)), ("last-30d", losses(0.4, seed=2))).winner() == 1


@pytest.mark.parametrize(("mean", "is_sure"), [(0.4, True), (0.5, False), (0.6, False)])
def test_a_gain_is_sure_when_its_bound_lies_above_zero(mean, is_sure):
    assert (sure_gain(losses(mean, seed=1), losses(0.5, seed=2), BLOCKS) > 0) == is_sure


def test_of_few_days_nothing_is_sure_and_all_history_goes_on():
    days = np.arange(400) // 100
    assert sure_gain(losses(0.4, seed=1), losses(0.5, seed=2), days) == -np.inf
    assert race((SINCE, losses(0.4, seed=1)), (ALL, losses(0.5, seed=2)), blocks=days).winner() == 1


def test_on_no_rows_no_gain_is_sure():
    assert sure_gain(np.zeros(0), np.zeros(0), np.zeros(0)) == -np.inf


def test_an_archived_champion_is_back_within_two_errors_of_its_time():
    assert returns(0.52, reference=0.5, error=0.01)
    assert not returns(0.521, reference=0.5, error=0.01)
    assert returns(0.52, reference=0.5, error=0.0)


def test_all_history_challenges_a_champion_that_learned_from_less_whoever_won_before():
    assert race((SINCE, losses(0.4)), knows_all=False).can_win(ALL, is_older=True)
    assert not race((SINCE, losses(0.4)), knows_all=True).can_win(ALL, is_older=True)
    assert not race((SINCE, losses(0.4)), knows_all=False).can_win("last-90d", is_older=True)


def test_of_two_kinds_that_learned_from_all_history_the_better_goes_on():
    kinds = [(ALL, losses(0.499, seed=1)), (ALL, losses(0.5, seed=2))]
    assert race(*kinds).winner() == int(np.argmin([lost.mean() for _, lost in kinds]))
    assert race(*kinds[::-1]).winner() == int(np.argmin([lost.mean() for _, lost in kinds[::-1]]))


@pytest.mark.parametrize(
    ("num_rows", "split", "found"),
    [(1000, None, 0), (1000, 0.5, 500), (1000, 0.8, 800), (1000, 0.81, 0), (399, 0.5, 0), (400, 0.5, 200)],
)
def test_a_part_of_the_hold_out_chooses_where_enough_is_left_to_judge_on(num_rows, split, found):
    assert num_choosing(num_rows, split=split, at_least=200) == found


BACK = Archived(loss=0.5, constant_loss=0.6, sure_gain=0.1, is_passed=True, reference=0.5, error=0.01)


@pytest.mark.parametrize(
    "why_not",
    [{"sure_gain": 0.0}, {"is_passed": False}, {"constant_loss": 0.5}, {"reference": 0.4}],
)
def test_an_earlier_champion_returns_where_all_that_is_asked_of_it_holds(why_not):
    assert returning([BACK]) == 0
    assert returning([replace(BACK, **why_not)]) is None
    assert returning([]) is None


def test_of_earlier_champions_the_best_returns_or_none_where_its_world_is_not_back():
    better, moved = replace(BACK, loss=0.45), replace(BACK, loss=0.45, reference=0.3)
    assert returning([BACK, better]) == 1
    assert returning([BACK, moved]) is None


def sure_by_chance(memory, *, num_days=20, num_draws=1000):
    """How often two that are equally good on average are told apart, where days are like those before by `memory`."""
    random = np.random.default_rng(5)
    days = random.normal(0, 1, (num_draws, num_days + 50))
    for day in range(1, num_days + 50):
        days[:, day] += memory * days[:, day - 1]
    blocks = np.arange(num_days * 5) // 5
    return float(np.mean([sure_gain(one[50:][blocks], np.zeros(len(blocks)), blocks) > 0 for one in days]))


def test_days_that_are_like_those_before_do_not_make_chance_sure():
    assert sure_by_chance(0.0) < 0.05
    assert sure_by_chance(0.5) < 0.08  # 0.18 where days count as independent
    assert sure_by_chance(0.5, num_days=7) < 0.12  # of so few nobody can tell well how alike they are
