"""Answers that are given again: by version and by the values of a row, for a while, in bounded memory."""

import threading
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from math import prod
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from cachetools import TTLCache
from numpy.typing import NDArray

from heliostat.declared.cache import Cache
from heliostat.errors import ContractError

Values = NDArray[np.float64]
ENTRY_BYTES = 500  # a key, an answer and what keeps their order: 382 were measured, a test watches it
LIST_BYTES, NUMBER_BYTES = 64, 32
DIGEST_BYTES = 16


def entry_bytes(shape: tuple[int, ...]) -> int:
    """What an answer of that shape counts as: a list of numbers has an object and a place for each."""
    return ENTRY_BYTES + (LIST_BYTES + NUMBER_BYTES * prod(shape) if shape else 0)


class AnswerCache:
    """Asks the model only for the rows that it did not answer lately; one thread asks, any may look at `status`.

    The version is a part of the key, so a promotion needs no clearing. What is kept is the answer as it was given: a
    hit is equal to it in every bit.
    """

    def __init__(self, declared: Cache, clock: Callable[[], float], *, shape: tuple[int, ...] = ()) -> None:
        """`shape` is that of one answer: of many classes, fewer answers fit."""
        self.max_entries = max(1, declared.max_bytes // entry_bytes(shape))
        self._kept: TTLCache[bytes, Any] = TTLCache(self.max_entries, declared.ttl.total_seconds(), timer=clock)
        self.num_rows = self.num_hits = 0
        # Even counting what is kept takes out what is too old, which two threads must not do at once.
        self._lock = threading.Lock()

    def answers(self, version: str, table: pa.Table, *, ask: Callable[[pa.Table], Values]) -> Values:
        """One answer a row; `ask` is called with the rows that are not kept, or not at all.

        ContractError when it does not give one for each of them; what is not finite is not kept.
        """
        keys = list(_keys(version, table))
        with self._lock:
            found = [self._kept.get(key) for key in keys]
        missing = [place for place, value in enumerate(found) if value is None]
        self.num_rows += len(keys)
        self.num_hits += len(keys) - len(missing)
        if missing:
            scores = _asked(ask, table, missing).tolist()
            with self._lock:
                for place, score in zip(missing, scores, strict=True):
                    found[place] = score
                    if np.isfinite(score).all():
                        self._kept[keys[place]] = score
        return np.array(found, np.float64)

    @property
    def num_entries(self) -> int:
        """How many answers are kept and not too old."""
        with self._lock:
            return len(self._kept)

    def status(self) -> dict[str, int | float | None]:
        """How many rows were asked for and how many of them were kept; None before the first."""
        ratio = self.num_hits / self.num_rows if self.num_rows else None
        return {
            "num_rows": self.num_rows,
            "num_hits": self.num_hits,
            "hit_ratio": ratio,
            "num_entries": self.num_entries,
            "max_entries": self.max_entries,
        }


def _keys(version: str, table: pa.Table) -> Iterator[bytes]:
    start = blake2b(version.encode(), digest_size=DIGEST_BYTES)
    for row in zip(*map(_plain, table.columns), strict=True):
        digest = start.copy()
        digest.update(orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY))
        yield digest.digest()


def _plain(column: pa.ChunkedArray) -> Sequence[Any]:
    # A vector of a thousand numbers is one array here, and not a thousand objects.
    values: Sequence[Any] = column.to_numpy() if pa.types.is_list(column.type) else column.to_pylist()
    return values


def _asked(ask: Callable[[pa.Table], Values], table: pa.Table, missing: list[int]) -> Values:
    scores = ask(table if len(missing) == table.num_rows else table.take(missing))
    if len(scores) != len(missing):
        raise ContractError(f"{len(missing)} rows need one answer each; the model gave an array {scores.shape}.")
    return scores
