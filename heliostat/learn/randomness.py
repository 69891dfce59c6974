"""The generators that the code of a model may draw from: torch's, numpy's global one, and Python's."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derived_seed(*parts: int) -> int:
    """A seed that is another for each place."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def seed_all(seed: int) -> None:
    """Whatever is drawn next follows from the seed."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


@contextmanager
def seeded(seed: int, *, device: str) -> Iterator[None]:
    """Whatever is drawn in here follows from the seed; the caller's own generators go on as if nothing had been."""
    of_numpy, of_python = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices=[] if device == "cpu" else [device]):
            seed_all(seed)
            yield
    finally:
        np.random.set_state(of_numpy)
        random.setstate(of_python)
