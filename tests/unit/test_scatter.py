"""How much less the rows of a window say than as many independent ones, and quiet where means walk."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.special import ndtr, ndtri

from heliostat.triggers import Drift
from heliostat.watch.calm import calm_psi
from heliostat.watch.conditions import drifting
from heliostat.watch.drift import ColumnDrift, log_evidence, noise_floor, psi
from heliostat.watch.events import WindowClosed
from heliostat.watch.scatter import at_size, design_effect

START, DAY = datetime(2024, 1, 1, tzinfo=UTC), timedelta(days=1)
NUM_ROWS, NUM_COLUMNS, NUM_LIVE = 1200, 4, 100
SHARES = np.full(10, 0.1)
ONLY_SURE = Drift(psi=1e-9, windows=1)  # what the e-detector alone says


def test_independent_rows_weigh_about_one_and_the_number_that_move_together_otherwise():
    random = np.random.default_rng(1)
    independent = random.multinomial(1000, SHARES, size=200)
    together = 20 * random.multinomial(50, SHARES, size=200)  # twenty rows fall into a bin at once
    assert 1.0 <= design_effect(independent.sum(axis=0), independent) < 3
    assert 20 < design_effect(together.sum(axis=0), together) < 60


def test_with_fewer_than_three_windows_rows_are_taken_to_be_independent():
    windows = np.array([[10, 0], [0, 10]])
    assert design_effect(windows.sum(axis=0), windows) == 1.0
    assert design_effect(np.array([10, 0]), np.array([[5, 0], [3, 0], [2, 0]])) == 1.0
    assert design_effect(np.array([10, 10]), np.zeros((5, 2), np.int64)) == 1.0


def walked(num_windows, *, alike, deviation=0.5, seed):
    """Means of windows, each like the one before to so much, shape (num_windows, NUM_COLUMNS)."""
    random = np.random.default_rng(seed)
    steps = random.normal(size=(num_windows + 300, NUM_COLUMNS))
    return deviation * np.asarray(lfilter([np.sqrt(1 - alike**2)], [1, -alike], steps, axis=0))[300:]


def seasons(num_windows, *, period, deviation=0.5, seed):
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, NUM_COLUMNS)
    return deviation * np.sqrt(2) * np.sin(2 * np.pi * np.arange(num_windows)[:, None] / period + phases)


def counted(means, *, seed, num_rows=NUM_ROWS):
    """Counts of normal rows with these means in the deciles of all, shape (*means.shape, 10)."""
    cuts = ndtri(np.arange(1, 10) / 10) * np.sqrt(1.25)
    below = ndtr(cuts - means[..., None])
    edges = np.concatenate([np.zeros((*means.shape, 1)), below, np.ones((*means.shape, 1))], axis=-1)
    return np.random.default_rng([1, seed]).multinomial(num_rows, np.diff(edges, axis=-1))


def first_alarm(reference, live, *, trigger=ONLY_SURE):
    """The window after which the trigger asks, of columns with these counts a window; None for never."""
    columns = range(reference.shape[1])
    whole = reference.sum(axis=0)
    effects = [design_effect(whole[column], reference[:, column]) for column in columns]
    calm = [calm_psi(whole[column], reference[:, column]) for column in columns]
    told = []
    for number, window in enumerate(live):
        drift = {
            f"x{column}": ColumnDrift(
                psi=psi(whole[column], window[column]),
                floor=max(noise_floor(whole[column], window[column]), calm[column]),
                log_evidence=log_evidence(whole[column], window[column], effect=effects[column]),
            )
            for column in columns
        }
        since = START + number * DAY
        told.append(WindowClosed(since=since, until=since + DAY, version=1, num_rows=NUM_ROWS, drift_by_column=drift))
        if number % 5 == 4 and drifting(trigger, told) is not None:
            return number + 1
    return None


@pytest.mark.parametrize(
    ("num_reference", "made"),
    [
        (30, {"alike": 0.0}),
        (30, {"alike": 0.7}),
        (60, {"alike": 0.9}),
        (60, {"period": 7}),
        (120, {"period": 24}),
    ],
)
def test_means_that_walk_or_swing_from_window_to_window_are_calm(num_reference, made):
    make = walked if "alike" in made else seasons
    alarms = 0
    for seed in range(8):
        counts = counted(make(num_reference + NUM_LIVE, seed=seed, **made), seed=seed)
        reference, live = counts[:num_reference], counts[num_reference:]
        # What the e-detector alone says: a column has to exceed the index, too, before anybody is asked.
        effects = [design_effect(reference[:, one].sum(axis=0), reference[:, one]) for one in range(NUM_COLUMNS)]
        assert min(effects) > 20
        alarms += first_alarm(reference, live) is not None
    # Declared: one in a thousand windows, which leaves 0.8 in these 800.
    assert alarms <= 2


def test_a_shift_that_windows_do_not_make_by_themselves_is_seen_all_the_same():
    for alike, shift, within in ((0.0, 1.0, 40), (0.4, 2.5, 40)):
        means = walked(60 + NUM_LIVE, alike=alike, deviation=0.3, seed=3)
        means[60:, 0] += shift
        counts = counted(means, seed=3)
        seen = first_alarm(counts[:60], counts[60:], trigger=Drift())
        assert seen is not None
        assert seen <= within


def test_a_larger_window_says_no_more_of_what_made_the_windows_of_the_reference_scatter():
    assert at_size(1.0, num_rows=10**6, usual_rows=1000) == 1.0
    assert at_size(5.0, num_rows=500, usual_rows=1000) == 5.0
    assert at_size(5.0, num_rows=10_000, usual_rows=1000) == 41.0
    assert at_size(5.0, num_rows=10_000, usual_rows=0) == 5.0


def test_traffic_that_grew_tenfold_is_no_drift_where_windows_scatter():
    alarms = 0
    for seed in range(8):
        means = walked(60 + NUM_LIVE, alike=0.0, seed=seed)
        reference, live = counted(means[:60], seed=seed, num_rows=200), counted(means[60:], seed=seed, num_rows=20_000)
        whole = reference[:, 0].sum(axis=0)
        effect = design_effect(whole, reference[:, 0])
        here = at_size(effect, num_rows=20_000, usual_rows=200)
        values = [max(log_evidence(whole, window, effect=effect, current_effect=here)) for window in live[:, 0]]
        blind = [max(log_evidence(whole, window, effect=effect)) for window in live[:, 0]]
        alarms += sum(value > 7 for value in values)
        assert max(blind) > 20
    assert alarms == 0
