"""How often a key may ask: one token bucket a key; the time is passed in."""

from dataclasses import dataclass

from heliostat.serving.problem import RateLimitError

_MOST_BUCKETS = 1000


@dataclass(frozen=True, kw_only=True)
class RateLimit:
    """So many requests a second in the long run, and so many at once."""

    requests_per_s: float
    burst: float


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """How many requests a key had left at an instant."""

    tokens: float
    at_s: float

    def tokens_at(self, now_s: float, limit: RateLimit) -> float:
        """How many it has left now; it fills up with time, to the burst and no further."""
        return min(limit.burst, self.tokens + max(0.0, now_s - self.at_s) * limit.requests_per_s)


def take(bucket: Bucket, limit: RateLimit, *, now_s: float) -> tuple[Bucket, float]:
    """The bucket after one request, and how long the caller has to wait: 0 when the request may go.

    A request that has to wait takes nothing.
    """
    tokens = bucket.tokens_at(now_s, limit)
    if tokens >= 1.0:
        return Bucket(tokens=tokens - 1.0, at_s=now_s), 0.0
    return Bucket(tokens=tokens, at_s=now_s), (1.0 - tokens) / limit.requests_per_s


class KeyLimits:
    """The buckets of all keys under one limit; without a limit everybody may ask."""

    def __init__(self, limit: RateLimit | None) -> None:
        self._limit = limit
        self._bucket_by_key: dict[str, Bucket] = {}

    @classmethod
    def of(cls, requests_per_s: float | None, burst: int | None, *, num_replicas: int) -> "KeyLimits":
        """The part of a workload's limit that one replica gives, because replicas do not count together."""
        if requests_per_s is None:
            return cls(None)
        share_per_s = requests_per_s / num_replicas
        share = max(1.0, share_per_s if burst is None else burst / num_replicas)
        return cls(RateLimit(requests_per_s=share_per_s, burst=share))

    def refuse(self, key_id: str, *, now_s: float) -> None:
        """Counts one request of a key; RateLimitError when the key has to wait."""
        if self._limit is None:
            return
        bucket = self._bucket_by_key.get(key_id) or Bucket(tokens=self._limit.burst, at_s=now_s)
        self._bucket_by_key[key_id], wait_s = take(bucket, self._limit, now_s=now_s)
        if len(self._bucket_by_key) > _MOST_BUCKETS:
            self._forget_full(self._limit, now_s)
        if wait_s > 0:
            raise RateLimitError.retry_after(
                f"Key {key_id} may send {self._limit.requests_per_s:g} requests a second to this replica, "
                f"{self._limit.burst:g} at once; wait {wait_s:.3f} s, or send more rows a request.",
                wait_s,
            )

    def _forget_full(self, limit: RateLimit, now_s: float) -> None:
        # A full bucket is what a key starts with, so forgetting it changes nothing.
        self._bucket_by_key = {
            key_id: bucket
            for key_id, bucket in self._bucket_by_key.items()
            if bucket.tokens_at(now_s, limit) < limit.burst
        }
