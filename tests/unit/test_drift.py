"""The population stability index and what chance alone makes of it."""

import math

import numpy as np
import pytest

from heliostat.watch.drift import ColumnDrift, noise_floor, psi

FLAT = np.full(10, 1 / 10)


def draw(num_rows: int, *, seed: int, shares: np.ndarray = FLAT) -> np.ndarray:
    return np.random.default_rng(seed).multinomial(num_rows, shares)


def test_equal_counts_have_index_zero():
    assert psi(draw(1000, seed=1), draw(1000, seed=1)) == 0.0


def test_the_index_is_the_textbook_one_when_every_bin_is_full():
    reference, current = np.array([400_000, 600_000]), np.array([500_000, 500_000])
    by_hand = (0.5 - 0.4) * math.log(0.5 / 0.4) + (0.5 - 0.6) * math.log(0.5 / 0.6)
    assert psi(reference, current) == pytest.approx(by_hand, rel=1e-4)


def test_the_index_is_symmetric():
    first, second = draw(1000, seed=1), draw(1000, seed=2)
    assert psi(first, second) == pytest.approx(psi(second, first))


def test_an_empty_bin_gives_a_finite_index():
    assert 0 < psi(np.array([500, 500]), np.array([1000, 0])) < 10


def test_no_rows_have_no_index_and_no_floor():
    nothing = np.zeros(10, np.int64)
    assert psi(draw(100, seed=1), nothing) == 0.0
    assert noise_floor(draw(100, seed=1), nothing) == 0.0


@pytest.mark.parametrize("num_rows", [100, 1000, 5000])
def test_the_floor_is_the_mean_index_of_calm_windows(num_rows):
    reference = draw(20_000, seed=0)
    found = [psi(reference, draw(num_rows, seed=seed)) for seed in range(1, 600)]
    floor = noise_floor(reference, draw(num_rows, seed=1))
    assert np.mean(found) == pytest.approx(floor, rel=0.12)


def test_bins_that_nobody_uses_do_not_raise_the_floor():
    reference, current = draw(1000, seed=1), draw(500, seed=2)
    padded = noise_floor(np.append(reference, [0, 0]), np.append(current, [0, 0]))
    assert padded == noise_floor(reference, current)


def test_the_effect_is_the_excess_over_the_floor_and_never_negative():
    assert ColumnDrift(psi=0.5, floor=0.2).effect == pytest.approx(0.3)
    assert ColumnDrift(psi=0.1, floor=0.2).effect == 0.0


@pytest.mark.parametrize("num_rows", [50, 100, 200, 1000, 100_000])
def test_calm_windows_of_any_size_hardly_ever_exceed_a_quarter(num_rows):
    reference = draw(20_000, seed=0)
    effects = [
        ColumnDrift(psi=psi(reference, current), floor=noise_floor(reference, current)).effect
        for current in (draw(num_rows, seed=seed) for seed in range(1, 400))
    ]
    assert sum(effect > 0.25 for effect in effects) <= 8
