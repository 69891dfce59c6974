"""Streams whose labels follow one concept, then another: two of one river generator, mixed as the kind of change says.

Neither the inputs nor the seed say when: the change lies at a place drawn from the seed. Needs river, an extra.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Values = NDArray[np.float64]
Pairs = Iterator[tuple[Mapping[str, float], Any]]
KINDS = ("abrupt", "gradual", "recurring", "none")
GENERATORS = ("SEA", "Agrawal", "Hyperplane", "RandomRBF", "STAGGER")
FLIPPED = 0.05  # labels that are wrong, so that no model is ever right throughout


def drifting(generator: str, kind: str, *, seed: int, num_rows: int) -> pa.Table:
    """Inputs and a label `y` of 0 or 1; the same arguments give the same rows."""
    random = np.random.default_rng(seed)
    weight = second_share(kind, num_rows, random)
    is_second = random.random(num_rows) < weight
    is_flipped = random.random(num_rows) < FLIPPED
    first, second = (list(islice(_rows(generator, seed=seed, concept=number), num_rows)) for number in (0, 1))
    chosen = [second[row] if is_late else first[row] for row, is_late in enumerate(is_second)]
    names = sorted(chosen[0][0], key=str)
    labels = np.array([int(label) for _, label in chosen])
    columns = {f"x_{name}": pa.array([inputs[name] for inputs, _ in chosen]) for name in names}
    return pa.table({**columns, "y": np.where(is_flipped, 1 - labels, labels)})


def second_share(kind: str, num_rows: int, random: np.random.Generator) -> Values:
    """The share of rows of the second concept at each row."""
    at = np.arange(num_rows) / num_rows
    change_at = random.uniform(0.35, 0.7)
    shares: dict[str, Values] = {
        "abrupt": (at >= change_at).astype(float),
        "gradual": np.clip((at - change_at + 0.15) / 0.45, 0, 1),
        "recurring": ((at * 5).astype(int) % 2).astype(float),
        "none": np.zeros(num_rows),
    }
    return shares[kind]


def _rows(generator: str, *, seed: int, concept: int) -> Pairs:
    """Rows of one concept; concepts of one seed differ, and so do seeds where the generator allows it."""
    from river.datasets import synth  # optional: only who makes streams needs it

    own = seed + 1000 * concept
    first = seed % 4
    made: dict[str, Callable[[], Any]] = {
        "SEA": lambda: synth.SEA(variant=(2, 3)[(concept + seed) % 2], noise=0.0, seed=own),
        "Agrawal": lambda: synth.Agrawal(classification_function=(first, first + 4)[concept], seed=own),
        "Hyperplane": lambda: synth.Hyperplane(seed=own, n_features=8, n_drift_features=0, mag_change=0),
        "RandomRBF": lambda: synth.RandomRBF(seed_model=own, seed_sample=own, n_features=8, n_centroids=30),
        "STAGGER": lambda: synth.STAGGER(classification_function=(first % 3, (first + 1) % 3)[concept], seed=own),
    }
    return iter(made[generator]())
