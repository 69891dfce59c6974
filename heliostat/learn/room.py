"""How many trials may run, which give way when anybody waits, and for how many workers there is room."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from heliostat.errors import ClusterError


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What one trial takes, what always stays free for others (the same units), and the most trials at once."""

    per_trial: float
    kept_free: float
    max_concurrent: int

    def trials_that_fit(self, *, free: float, num_running: int, num_waiting_others: int) -> int:
        """How many trials may run in all, those that run included; 0 while somebody else cannot be placed."""
        if num_waiting_others > 0:
            return 0
        more = math.floor((free - self.kept_free) / self.per_trial + 1e-9)
        return max(0, min(self.max_concurrent, num_running + more))


def takes_gpus(use_gpu: bool | None, *, num_workers: int, num_gpus: int) -> bool:
    """Whether workers take a GPU each in a cluster of so many: as is declared, else where there are enough."""
    return num_gpus >= num_workers if use_gpu is None else use_gpu


def workers_that_fit(
    free_by_node: Mapping[str, Mapping[str, float]], *, per_worker: Mapping[str, float], own_by_node: Mapping[str, int]
) -> int:
    """How many workers find room, the places that `own_by_node` have already included; none lies across two nodes.

    Amounts are by the name of the resource. A node that is not among `free_by_node` is lost, and places on it with it.
    Raises ClusterError when a worker needs nothing.
    """
    needs = {name: amount for name, amount in per_worker.items() if amount > 0}
    if not needs:
        raise ClusterError(f"Workers that need {dict(per_worker)} fit without end; give each a part of a CPU or a GPU.")
    # 0.3 / 0.1 is a little less than 3.
    more_by_node = {
        node: max(0, min(math.floor(free.get(name, 0.0) / amount + 1e-9) for name, amount in needs.items()))
        for node, free in free_by_node.items()
    }
    return sum(more + own_by_node.get(node, 0) for node, more in more_by_node.items())
