"""Labels that nobody should learn from: a source that suddenly contradicts what the champion was sure of.

A world that changed contradicts the champion too, but then whoever tells labels does. So a source is held against the
others of the same time and against its own past. Of a source that tells alone nobody can say which it is: it is told,
and shut out only beyond a limit that somebody declared.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

FAR_ABOVE = 3.0  # times what is usual
ALARM = math.log(1e6)  # a rate that far off comes by chance once in a million windows of independent labels
MIN_CONFIDENT = 10  # in a window; of fewer nothing is said
LEAST_RATE = 0.005  # below it nothing is usual: one mistyped label must not be an attack


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one source told in one window of arrival about rows on which the champion was confident.

    `expected` is the mean chance, by the champion's own answers, that such a row turns out otherwise.
    """

    source: str
    since: datetime
    until: datetime
    num_confident: int
    num_contradicting: int
    expected: float

    @property
    def rate(self) -> float:
        """The share of confident answers that were contradicted."""
        return self.num_contradicting / self.num_confident if self.num_confident else 0.0


@dataclass(frozen=True, kw_only=True)
class Suspicion:
    """One window of one source that contradicts far above what is usual; shut out where others disagree.

    Where there are none (`others` is None), it is shut out beyond the declared `limit`, if there is one.
    """

    source: str
    since: datetime
    until: datetime
    rate: float
    usual: float
    others: float | None
    num_confident: int
    is_shut_out: bool
    limit: float | None = None

    @property
    def reason(self) -> str:
        """One sentence for people."""
        beside = "no other source told labels then" if self.others is None else f"of others {self.others:.1%}"
        if self.others is None and self.is_shut_out:
            beside += f", Loop(max_contradicted={self.limit:g}) is the limit"
        what = "its labels are not learned from" if self.is_shut_out else "nothing is left out for that"
        return (
            f"labels of {self.source} from {self.since:%Y-%m-%d} contradict {self.rate:.1%} of {self.num_confident} "
            f"confident answers, usual are {self.usual:.1%}, {beside}: {what}"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        plain = {**asdict(self), "since": self.since.isoformat(), "until": self.until.isoformat()}
        return {**plain, "reason": self.reason}


def suspicions(told: Sequence[Told], *, max_contradicted: float | None = None) -> list[Suspicion]:
    """The windows that contradict far above the past of their source, and above all others of the same time.

    A source that tells alone is shut out where it contradicts more than `max_contradicted` of sure answers.
    """
    found: list[Suspicion] = []
    for one in sorted(told, key=lambda each: (each.since, each.source)):
        if one.num_confident < MIN_CONFIDENT:
            continue
        usual = _usual(one, told, is_bad={(each.source, each.since) for each in found})
        if not _is_far_above(one, usual):
            continue
        others = _together([each for each in told if each.since == one.since and each.source != one.source])
        is_alone = others is None or others.num_confident < MIN_CONFIDENT
        is_beyond = max_contradicted is not None and one.rate > max_contradicted
        is_opposed = others is not None and _is_far_above(one, max(others.rate, usual))
        found.append(
            Suspicion(
                source=one.source,
                since=one.since,
                until=one.until,
                rate=one.rate,
                usual=usual,
                others=None if is_alone or others is None else others.rate,
                num_confident=one.num_confident,
                is_shut_out=is_beyond if is_alone else is_opposed,
                limit=max_contradicted,
            )
        )
    return found


def _usual(one: Told, told: Sequence[Told], *, is_bad: set[tuple[str, datetime]]) -> float:
    """The rate of the source's earlier windows that were not suspicious, never below what its answers expect."""
    past = [
        each
        for each in told
        if each.source == one.source and each.since < one.since and (each.source, each.since) not in is_bad
    ]
    together = _together(past)
    own = together.rate if together is not None and together.num_confident >= MIN_CONFIDENT else 0.0
    return max(own, one.expected, LEAST_RATE)


def _is_far_above(one: Told, usual: float) -> bool:
    """Three times the usual rate and more, and surely so by Chernoff's bound."""
    if one.rate < min(FAR_ABOVE * usual, (1 + usual) / 2):
        return False
    return one.num_confident * _divergence(one.rate, usual) >= ALARM


def _divergence(rate: float, usual: float) -> float:
    """Kullback and Leibler's, of one coin from another, in nats."""
    usual = min(usual, 1 - 1e-9)
    parts = [(rate, usual), (1 - rate, 1 - usual)]
    return sum(share * math.log(share / other) for share, other in parts if share > 0)


def _together(told: Sequence[Told]) -> Told | None:
    num_confident = sum(one.num_confident for one in told)
    if not num_confident:
        return None
    return Told(
        source="",
        since=told[0].since,
        until=told[-1].until,
        num_confident=num_confident,
        num_contradicting=sum(one.num_contradicting for one in told),
        expected=sum(one.expected * one.num_confident for one in told) / num_confident,
    )
