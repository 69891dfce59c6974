"""How often a key may ask: one token bucket a key; the time is passed in."""

from dataclasses import dataclass
from typing import TypeAlias

from heliostat.records import KeyRecord
from heliostat.serving.problem import RateLimitError

_MOST_BUCKETS = 1000
_Declared: TypeAlias = tuple[float | None, int | None]
"""Requests a second and burst over all replicas."""


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
    """The buckets of all keys: each under its own limit, or else under the workload's; without either it may ask.

    A replica gives its part of each limit, because replicas do not count together: one of as many parts as replicas
    answer, by the last that it was told.
    """

    def __init__(self, requests_per_s: float | None, burst: int | None, *, num_replicas: int) -> None:
        self._declared: _Declared = requests_per_s, burst
        self._num_replicas = num_replicas
        self._default = self._share(self._declared)
        self._own: dict[_Declared, RateLimit | None] = {}
        self._bucket_by_key: dict[str, tuple[Bucket, RateLimit, _Declared]] = {}

    def share_among(self, num_replicas: int) -> None:
        """So many replicas answer from now on; what a key has left shrinks or grows with its share."""
        if num_replicas == self._num_replicas or num_replicas < 1:
            return
        self._num_replicas = num_replicas
        self._default = self._share(self._declared)
        self._own.clear()

    def refuse(self, key: KeyRecord, *, now_s: float) -> None:
        """Counts one request of a key; RateLimitError when the key has to wait."""
        own: _Declared = (key.requests_per_s, key.burst_requests) if key.requests_per_s is not None else self._declared
        limit = self._default if key.requests_per_s is None else self._limit_of(own)
        if limit is None:
            return
        bucket, wait_s = take(self._bucket(key.key_id, limit, own, now_s=now_s), limit, now_s=now_s)
        self._bucket_by_key[key.key_id] = bucket, limit, own
        if len(self._bucket_by_key) > _MOST_BUCKETS:
            self._forget_full(now_s)
        if wait_s > 0:
            raise RateLimitError.retry_after(
                f"Key {key.key_id} may send {limit.requests_per_s:g} requests a second to this replica, "
                f"{limit.burst:g} at once; wait {wait_s:.3f} s, or send more rows a request.",
                wait_s,
            )

    def _bucket(self, key_id: str, limit: RateLimit, own: _Declared, *, now_s: float) -> Bucket:
        known = self._bucket_by_key.get(key_id)
        # A key that was made anew under another limit starts with what that gives at once.
        if known is None or known[2] != own:
            return Bucket(tokens=limit.burst, at_s=now_s)
        bucket, before, _ = known
        if before == limit:
            return bucket
        return Bucket(tokens=bucket.tokens_at(now_s, before) * limit.burst / before.burst, at_s=now_s)

    def _limit_of(self, own: _Declared) -> RateLimit | None:
        if own not in self._own:
            if len(self._own) >= _MOST_BUCKETS:
                self._own.clear()
            self._own[own] = self._share(own)
        return self._own[own]

    def _share(self, declared: _Declared) -> RateLimit | None:
        requests_per_s, burst = declared
        if requests_per_s is None:
            return None
        share_per_s = requests_per_s / self._num_replicas
        share = max(1.0, share_per_s if burst is None else burst / self._num_replicas)
        return RateLimit(requests_per_s=share_per_s, burst=share)

    def _forget_full(self, now_s: float) -> None:
        # A full bucket is what a key starts with, so forgetting it changes nothing.
        self._bucket_by_key = {
            key_id: (bucket, limit, own)
            for key_id, (bucket, limit, own) in self._bucket_by_key.items()
            if bucket.tokens_at(now_s, limit) < limit.burst
        }
