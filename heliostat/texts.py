"""Texts as models see them: words and pairs of neighbouring words, hashed into a fixed number of buckets.

The hash is CRC-32, the same on every machine and in every version, so nothing has to be learned or stored.
"""

import re
from itertools import pairwise
from zlib import crc32

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

PADDING = 0
_WORD = re.compile(r"\w+")


def buckets_of(text: str, *, num_buckets: int, most_terms: int) -> list[int]:
    """From 1 to `num_buckets` - 1, one for each word and then one for each pair, the first `most_terms` of them."""
    words = _WORD.findall(text.lower())[:most_terms]
    terms = [*words, *(f"{first} {second}" for first, second in pairwise(words))]
    return [1 + crc32(term.encode()) % (num_buckets - 1) for term in terms[:most_terms]]


def to_buckets(values: pa.ChunkedArray, *, num_buckets: int, most_terms: int) -> NDArray[np.int64]:
    """Shape (num_rows, most_terms), rows of fewer terms filled up with PADDING; a missing text has none."""
    found = np.full((len(values), most_terms), PADDING, np.int64)
    for row, text in enumerate(values.to_pylist()):
        if text is not None:
            terms = buckets_of(text, num_buckets=num_buckets, most_terms=most_terms)
            found[row, : len(terms)] = terms
    return found
