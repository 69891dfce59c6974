"""The quick toy with an encode that refuses one row of May: nothing that was fitted earlier has seen it."""

from dataclasses import replace

from heliostat import Batch, Encoded
from tests import toy, toy_quick

REFUSED = toy_quick.workload.source.read("2024-05")["load_percent"][300].as_py()


def encode(batch: Batch) -> Encoded:
    """As the toy's, but for the row that it refuses."""
    if (batch["load_percent"] == REFUSED).any():
        raise ValueError("no such load")
    return toy.encode(batch)


workload = replace(toy_quick.workload, encode=encode)
