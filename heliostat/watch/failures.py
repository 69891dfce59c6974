"""Requests that were refused or failed, by their HTTP status: what replicas tell, added up over all of them.

Nothing of such a request is in the log. Each replica counts since its start and tells its total, so that a total told
twice, or in another order, changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NUM_KEPT = 64  # replicas told apart; those that were silent longest become one number, and a state stays small


@dataclass(frozen=True, kw_only=True)
class FailureCounts:
    """Totals by replica and status, in the order in which replicas last said something new, and of those before."""

    by_replica: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    of_gone: Mapping[str, int] = field(default_factory=dict)

    def heard(self, replica: str, num_by_status: Mapping[str, int]) -> "FailureCounts":
        """With a replica's totals since its start; totals that are not above those heard before change nothing."""
        known = self.by_replica.get(replica, {})
        if all(number <= known.get(status, 0) for status, number in num_by_status.items()):
            return self
        larger = {status: max(known.get(status, 0), number) for status, number in {**known, **num_by_status}.items()}
        others = {name: totals for name, totals in self.by_replica.items() if name != replica}
        return FailureCounts(by_replica={**others, replica: larger}, of_gone=self.of_gone)._bounded()

    def _bounded(self) -> "FailureCounts":
        num_silent = max(0, len(self.by_replica) - NUM_KEPT)
        silent = list(self.by_replica)[:num_silent]
        gone = added([self.of_gone, *(self.by_replica[name] for name in silent)])
        kept = {name: totals for name, totals in self.by_replica.items() if name not in silent}
        return FailureCounts(by_replica=kept, of_gone=gone)

    @property
    def num_by_status(self) -> dict[str, int]:
        """All that were heard of."""
        return added([self.of_gone, *self.by_replica.values()])

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` reads them. A list, because a database may order the keys of an object anew."""
        return {
            "by_replica": [[name, dict(totals)] for name, totals in self.by_replica.items()],
            "of_gone": dict(self.of_gone),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "FailureCounts":
        """What `to_json` wrote."""
        return cls(by_replica=dict(value["by_replica"]), of_gone=value["of_gone"])


def added(parts: list[Mapping[str, int]]) -> dict[str, int]:
    """The sums by status, in the order of statuses."""
    statuses = sorted({status for part in parts for status in part})
    return {status: sum(part.get(status, 0) for part in parts) for status in statuses}
