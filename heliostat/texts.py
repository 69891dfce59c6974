"""Texts as models see them: words and pairs of neighbouring words, hashed into a fixed number of buckets.

The hash is CRC-32, the same on every machine and in every version, so nothing has to be learned or stored.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from zlib import crc32

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

PADDING = 0
RUNS_LOOKED_AT = 100  # for each that is kept
_WORD = re.compile(r"\w+")


Letters = tuple[int, int] | None


def buckets_of(text: str, *, num_buckets: int, most_terms: int, letters: Letters = None) -> list[int]:
    """From 1 to `num_buckets` - 1, one for each word and then one for each pair, the first `most_terms` of them.

    With `letters` each distinct one once: words and pairs, at most a third of `most_terms`, in the lower half of the
    buckets, then the runs of so few to so many letters of each word (its ends count as letters) in the upper half. Of a
    text that repeats itself without end not all runs are looked at.
    """
    words = [found.group() for found in islice(_WORD.finditer(text.lower()), most_terms)]
    terms = [*words, *(f"{first} {second}" for first, second in pairwise(words))]
    if letters is None:
        return [1 + crc32(term.encode()) % (num_buckets - 1) for term in terms[:most_terms]]
    half = num_buckets // 2
    found = [1 + crc32(term.encode()) % (half - 1) for term in list(dict.fromkeys(terms))[: most_terms // 3]]
    runs = (run for word in words for run in _runs(f" {word} ", *letters))
    return [*found, *(half + crc32(run.encode()) % half for run in _distinct(runs, most=most_terms - len(found)))]


def _distinct(runs: Iterator[str], *, most: int) -> Iterable[str]:
    """The first so many different ones, among as many as any usual text has; a word of a million letters has more."""
    distinct: dict[str, None] = {}
    for run in islice(runs, RUNS_LOOKED_AT * most):
        if len(distinct) >= most:
            break
        distinct[run] = None
    return distinct


def _runs(word: str, fewest: int, most: int) -> Iterator[str]:
    for length in range(fewest, most + 1):
        yield from (word[start : start + length] for start in range(len(word) - length + 1))


def to_buckets(
    values: pa.ChunkedArray, *, num_buckets: int, most_terms: int, letters: Letters = None
) -> NDArray[np.int64]:
    """Shape (num_rows, most_terms), rows of fewer terms filled up with PADDING; a missing text has none."""
    found = np.full((len(values), most_terms), PADDING, np.int64)
    for row, text in enumerate(values.to_pylist()):
        if text is not None:
            terms = buckets_of(text, num_buckets=num_buckets, most_terms=most_terms, letters=letters)
            found[row, : len(terms)] = terms
    return found
