"""The quick toy with an encode that cannot take loads above 94.9 percent."""

from dataclasses import replace

from heliostat import Batch, Encoded
from tests import toy, toy_quick


def encode(batch: Batch) -> Encoded:
    """As the toy's, but for the rows that it refuses."""
    if (batch["load_percent"] > 94.9).any():
        raise ValueError("the scale ends at 94.9")
    return toy.encode(batch)


workload = replace(toy_quick.workload, encode=encode)
