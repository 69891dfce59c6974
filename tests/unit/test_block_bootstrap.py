import math

import numpy as np

from heliostat.blocks import block_bootstrap


def test_the_interval_covers_the_true_mean_as_often_as_it_says():
    generator = np.random.default_rng(1)
    hits = 0
    for draw in range(200):
        days = np.repeat(np.arange(60), 20)
        values = 0.3 + np.repeat(generator.normal(0, 1, 60), 20) + generator.normal(0, 1, 1200)
        _, low, high = block_bootstrap(values, days, num_draws=400, seed=draw)
        hits += low <= 0.3 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_rows_alike_within_a_day_widen_the_interval():
    days = np.repeat(np.arange(30), 50)
    values = np.repeat(np.random.default_rng(2).normal(0, 1, 30), 50)
    _, low, high = block_bootstrap(values, days)
    _, low_rows, high_rows = block_bootstrap(values, np.arange(len(values)))
    assert high - low > 3 * (high_rows - low_rows)


def test_no_rows_give_no_number():
    assert all(math.isnan(value) for value in block_bootstrap(np.zeros(0), np.zeros(0)))
