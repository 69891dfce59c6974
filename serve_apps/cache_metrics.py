"""What the answer caches of a replica did, told to Ray's metrics, which Prometheus scrapes on the node's endpoint."""

import asyncio
from collections.abc import Callable, Mapping

from ray.util.metrics import Counter, Gauge

from heliostat.serving.answer_cache import AnswerCache

EVERY_S = 5.0
TAGS = ("workload",)


class CacheMetrics:
    """Counts of rows as they grow; Ray adds up what every replica of a node tells."""

    def __init__(self) -> None:
        self._rows = Counter("heliostat_cache_rows", "Rows that were looked up in the answer cache.", tag_keys=TAGS)
        self._hits = Counter("heliostat_cache_hit_rows", "Rows that the answer cache answered.", tag_keys=TAGS)
        self._entries = Gauge("heliostat_cache_entries", "Answers that the cache of a replica holds.", tag_keys=TAGS)
        self._told: dict[str, tuple[AnswerCache, int, int]] = {}

    def tell(self, caches: Mapping[str, AnswerCache]) -> None:
        """What each workload's cache did since it was last told; one that was made anew begins at none."""
        told = {}
        for name, cache in caches.items():
            before, num_rows, num_hits = self._told.get(name, (cache, 0, 0))
            if before is not cache:
                num_rows = num_hits = 0
            # Hits first: rows are counted before them, and a ratio above one would be nonsense.
            now_hits, now_rows = cache.num_hits, cache.num_rows
            for counter, grown in ((self._rows, now_rows - num_rows), (self._hits, now_hits - num_hits)):
                # Ray takes no counter that grows by nothing.
                if grown:
                    counter.inc(grown, tags={"workload": name})
            self._entries.set(cache.num_entries, tags={"workload": name})
            told[name] = (cache, now_rows, now_hits)
        # A cache that is gone is not kept in memory by what was told of it.
        self._told = told


async def follow(caches: Callable[[], Mapping[str, AnswerCache]], *, every_s: float = EVERY_S) -> None:
    """Tells, for ever, what the caches that there are did."""
    metrics = CacheMetrics()
    while True:
        metrics.tell(caches())
        await asyncio.sleep(every_s)
