"""Callers who ask one workload, one request each at a time, until told to stop."""

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType

import httpx

ROW = {"load_percent": 50.0, "temperature_c": 12.0, "site": "alpha"}


@dataclass
class Callers:
    """So many threads; what each request was answered with is counted."""

    url: str
    key: str
    num_callers: int
    most_s: float = 240.0  # a test that fails leaves nobody asking for ever
    counts: dict[int, int] = field(default_factory=dict)

    def __enter__(self) -> "Callers":
        self._stopping, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=[number]) for number in range(self.num_callers)]
        for each in self._threads:
            each.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for each in self._threads:
            each.join()

    def _ask(self, caller: int) -> None:
        ends_s, number = time.monotonic() + self.most_s, 0
        with httpx.Client(headers={"Authorization": f"Bearer {self.key}"}, timeout=60.0) as client:
            while not self._stopping.is_set() and time.monotonic() < ends_s:
                number += 1
                row = {**ROW, "reading": f"caller-{caller}-{number}", "read_at": "2024-03-01T10:00:00Z"}
                row |= {"checked_by": "2024-03-07T10:00:00Z"}
                status = client.post(f"{self.url}/v1/predict", json={"rows": [row]}).status_code
                with self._lock:
                    self.counts[status] = self.counts.get(status, 0) + 1
