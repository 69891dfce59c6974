"""Steps of a fit as they happen: gauges for Prometheus on the node's own endpoint, files for TensorBoard and for a bar.

All go around `ray.train.report`, which answers once a poll interval. Ten times a second is enough for people, so most
steps cost a look at the clock, and a device is waited for no more often. Of several workers the first one tells its
own rows' loss: for the mean all would have to meet at the same step, and each has its own clock.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ray.util.metrics import Gauge
from tensorboardX import SummaryWriter

from heliostat.learn import parallel
from heliostat.learn.epochs import OnStep, Step, no_step
from heliostat.learn.run_epochs import OnEpoch
from heliostat.learn.state import FitState
from jobs._reached import Reached, ReachedFile

EVERY_S = 0.1
FLUSH_S = 5
TAGS = ("workload", "run", "candidate")


class StepMetrics:
    """One fit's steps, told by one worker; `directory` is the run's, with a folder for each candidate.

    `unit` is what people call an epoch of it.
    """

    def __init__(self, directory: Path, *, workload: str, run_id: str, candidate: str, unit: str = "epoch") -> None:
        self._writer = SummaryWriter(str(directory / candidate), flush_secs=FLUSH_S)
        self._file, self._later_rows, self._unit = ReachedFile(directory), "", unit
        self._tags = {"workload": workload, "run": run_id, "candidate": candidate}
        self._loss = Gauge(
            "heliostat_train_loss", "Loss of the newest batch of a fit, on the first worker's rows.", tag_keys=TAGS
        )
        self._step = Gauge("heliostat_train_step", "Batches, or rounds of trees, that a fit has done.", tag_keys=TAGS)
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

    def epoch(self, state: FitState) -> None:
        """An epoch is done, or some batches of one."""
        if not state.num_steps:
            self._later_rows = f", later rows {state.history[-1].validation_loss:.4f}"

    def close(self) -> None:
        """The file is whole, and nothing is under way."""
        self._writer.close()
        self._file.end()

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
        if self._file.is_due():
            self._file.tell(self._reached(step, loss))
        self._told_at_s, self._num_steps, self._num_rows = time.monotonic(), 0, 0

    def _reached(self, step: Step, loss: float) -> Reached:
        epoch = 1 + (step.number - 1) * step.num_epochs // step.num_steps
        return Reached(
            workload=self._tags["workload"],
            name=self._tags["candidate"],
            num_done=step.number,
            num_all=step.num_steps,
            words=f"{self._unit} {epoch}/{step.num_epochs}, loss {loss:.4f}{self._later_rows}",
        )


@contextmanager
def watched(
    directory: str | None, *, workload: str, run_id: str, candidate: str, on_epoch: OnEpoch, unit: str = "epoch"
) -> Iterator[tuple[OnStep, OnEpoch]]:
    """What a fit tells its steps and epochs to: the first worker's go on record, where there is a directory for them.

    `on_epoch` is told epochs in any case.
    """
    if directory is None or parallel.own_rank() != 0:
        yield no_step, on_epoch
        return
    metrics = StepMetrics(Path(directory), workload=workload, run_id=run_id, candidate=candidate, unit=unit)

    def on_each(state: FitState) -> None:
        metrics.epoch(state)
        on_epoch(state)

    try:
        yield metrics, on_each
    finally:
        metrics.close()
