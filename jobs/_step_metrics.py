"""Steps of a fit as they happen: gauges for Prometheus on the node's own endpoint, and an event file for TensorBoard.

Both go around `ray.train.report`, which answers once a poll interval. Ten times a second is enough for people, so most
steps cost a look at the clock, and a device is waited for no more often.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ray.util.metrics import Gauge
from tensorboardX import SummaryWriter

from heliostat.learn import parallel
from heliostat.learn.epochs import OnStep, Step, no_step

EVERY_S = 0.1
FLUSH_S = 5
TAGS = ("workload", "run", "candidate")


class StepMetrics:
    """One fit's steps, told by one worker; `directory` is the run's, with a folder for each candidate."""

    def __init__(self, directory: Path, *, workload: str, run_id: str, candidate: str) -> None:
        self._writer = SummaryWriter(str(directory / candidate), flush_secs=FLUSH_S)
        self._tags = {"workload": workload, "run": run_id, "candidate": candidate}
        self._loss = Gauge("heliostat_train_loss", "Loss of the newest batch of a fit.", tag_keys=TAGS)
        self._step = Gauge("heliostat_train_step", "Batches that a fit has done.", tag_keys=TAGS)
        self._step_s = Gauge("heliostat_train_step_seconds", "Time that a step of a fit takes.", tag_keys=TAGS)
        self._rows = Gauge(
            "heliostat_train_rows_per_second", "Rows that a fit learns from, all workers.", tag_keys=TAGS
        )
        self._told_at_s = time.monotonic()
        self._num_steps, self._num_rows = 0, 0

    def __call__(self, step: Step) -> None:
        """One step is done."""
        self._num_steps += 1
        self._num_rows += step.num_rows
        elapsed_s = time.monotonic() - self._told_at_s
        if elapsed_s >= EVERY_S:
            self._tell(step, elapsed_s)

    def close(self) -> None:
        """The file is whole."""
        self._writer.close()

    def _tell(self, step: Step, elapsed_s: float) -> None:
        loss, step_s, rows = float(step.loss), elapsed_s / self._num_steps, self._num_rows / elapsed_s
        for gauge, name, value in (
            (self._loss, "loss", loss),
            (self._step_s, "step_seconds", step_s),
            (self._rows, "rows_per_second", rows),
        ):
            gauge.set(value, tags=self._tags)
            self._writer.add_scalar(name, value, step.number)
        self._step.set(step.number, tags=self._tags)
        self._told_at_s, self._num_steps, self._num_rows = time.monotonic(), 0, 0


@contextmanager
def watched(directory: str | None, *, workload: str, run_id: str, candidate: str) -> Iterator[OnStep]:
    """What a fit tells its steps to: the first worker's go on record, where there is a directory for them."""
    if directory is None or parallel.own_rank() != 0:
        yield no_step
        return
    metrics = StepMetrics(Path(directory), workload=workload, run_id=run_id, candidate=candidate)
    try:
        yield metrics
    finally:
        metrics.close()
