"""Which workloads' models stay in a replica's memory: the least recently used go first. Decides, and moves nothing."""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a workload's versions take: how many they are, and their weights."""

    num_models: int
    num_bytes: int


@dataclass(frozen=True, kw_only=True)
class ShelfLimits:
    """What one replica may hold."""

    max_models: int
    max_bytes: float


class Shelf:
    """The workloads that are held, the least recently used first; of one event loop."""

    def __init__(self, limits: ShelfLimits) -> None:
        self.limits = limits
        self.num_hits = self.num_loads = self.num_drops = 0
        self.num_models = self.num_bytes = 0
        self._load_by_name: OrderedDict[str, Load] = OrderedDict()
        self._num_lent: Counter[str] = Counter()

    @contextmanager
    def lent(self, name: str) -> Iterator[None]:
        """The workload is not dropped while a request needs it, and counts as the last one used."""
        self._num_lent[name] += 1
        if name in self._load_by_name:
            self._load_by_name.move_to_end(name)
        try:
            yield
        finally:
            self._num_lent[name] -= 1

    def is_lent(self, name: str) -> bool:
        """Whether a request needs it now."""
        return self._num_lent[name] > 0

    def put(self, name: str, load: Load) -> None:
        """The workload is held with these versions, and is the last one used; without versions it is not held."""
        self._remove(name)
        if load.num_models:
            self._load_by_name[name] = load
            self.num_models += load.num_models
            self.num_bytes += load.num_bytes

    def drop(self, name: str) -> None:
        """The workload is not held any more."""
        self.num_drops += name in self._load_by_name
        self._remove(name)

    def surplus(self) -> list[str]:
        """What has to go for the limits to be kept: never the last one used, and nothing that a request needs."""
        num_models, num_bytes = self.num_models, self.num_bytes
        found: list[str] = []
        if self._keeps(num_models, num_bytes):  # nearly always: asked after every request
            return found
        for name in list(self._load_by_name)[:-1]:
            if self._keeps(num_models, num_bytes):
                break
            if not self.is_lent(name):
                found.append(name)
                num_models -= self._load_by_name[name].num_models
                num_bytes -= self._load_by_name[name].num_bytes
        return found

    def _keeps(self, num_models: int, num_bytes: int) -> bool:
        return num_models <= self.limits.max_models and num_bytes <= self.limits.max_bytes

    def _remove(self, name: str) -> None:
        load = self._load_by_name.pop(name, None)
        if load is not None:
            self.num_models -= load.num_models
            self.num_bytes -= load.num_bytes

    def status(self) -> dict[str, float | int]:
        """What is held, what may be, and how often what was asked for was there."""
        return {
            "num_workloads": len(self._load_by_name),
            "num_models": self.num_models,
            "max_models": self.limits.max_models,
            "weights_mib": round(self.num_bytes / MIB, 3),
            "max_mib": round(self.limits.max_bytes / MIB, 3),
            "num_hits": self.num_hits,
            "num_loads": self.num_loads,
            "num_drops": self.num_drops,
        }
