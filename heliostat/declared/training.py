"""How candidates are fitted, as a workload declares it."""

from dataclasses import dataclass
from datetime import timedelta
from math import inf

from heliostat.errors import WorkloadError
from heliostat.typed import refuse_wrong_types


@dataclass(frozen=True, kw_only=True)
class Training:
    """How candidates are fitted, within `fit_time` of a run's work for all of them and what is fitted again.

    Each may take what is left by how many fits are still to come; then it ends with the epochs, or rounds of trees,
    that it has, and the best of them. One epoch, or 50 rounds, is always done; none begins once all has passed, but the
    first. What is fitted again does as many as were best.

    `num_workers` fit together, (fewest, most) as many as there is room for. Each batch is learned from in `accumulate`
    pieces before one step, so that a large one fits into memory. A network that gets no better on later rows in
    `patience` epochs is ended early. Of its epochs the best on later rows counts; without `keep_best` the last one,
    which suits a network that is hard to overfit, where later rows are unlike those before. A checkpoint is kept after
    every epoch, and every `checkpoint_steps` batches. `shard` lays the network out over the workers instead of giving
    each a copy. `bfloat16` computes in half the width, which is quicker on a GPU, and for wide networks on a CPU that
    has instructions for it; `compile` is worth its minute where the same network is fitted for long. With `warm_start`
    each turn has one candidate more, which goes on from the champion, on the rows since those that it learned from.

    With `stream` the rows go through Ray Data to the workers, in every epoch anew. A worker holds a few windows of
    them, those drawn to know all by, and the hold-out: for tables that outgrow its memory. Every worker must have rows
    of every batch: `batch_size` is at least two for each of the most workers, four with `stream`.

    `cpus_per_worker` are what a worker takes of the pool, and the whole ones of them its threads; None is half of one,
    so that many runs fit beside replicas, and one thread. With `use_gpu` each worker waits for a GPU of its own,
    without it none takes one; None: GPUs where the cluster has one for each worker.

    Probabilities of two values are made to mean what they say by a line through the logits, with `isotonic` by any
    rising curve; those of several classes by a temperature, or by a curve for each class. What is fitted again on all
    rows takes that over; without `carry_shift` a line leaves only what makes answers less sure, because the newest
    rows, which said the rest, are then among those that it learned from (a curve is taken over whole).
    """

    epochs: int = 5
    batch_size: int = 512
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    validation_share: float = 0.1
    windows: tuple[timedelta | None, ...] = (None,)
    seed: int = 0
    num_workers: int | tuple[int, int] = 1
    fit_time: timedelta | None = None
    accumulate: int = 1
    patience: int | None = None
    checkpoint_steps: int | None = None
    shard: bool = False
    bfloat16: bool = False
    compile: bool = False
    warm_start: bool = False
    isotonic: bool = False
    carry_shift: bool = True
    keep_best: bool = True
    stream: bool = False
    cpus_per_worker: float | None = None
    use_gpu: bool | None = None

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if self.epochs < 1 or self.batch_size < 1 or not 0 < self.learning_rate < inf or self.fewest_workers < 1:
            raise WorkloadError(f"{self}: epochs, batch_size, learning_rate and num_workers must be above 0.")
        if not 0 <= self.weight_decay < inf or self.seed < 0:
            raise WorkloadError(f"{self}: weight_decay and seed must not be negative, and weight_decay be finite.")
        if self.fewest_workers > self.most_workers:
            raise WorkloadError(f"{self}: num_workers=(fewest, most) must rise.")
        least = (4 if self.stream else 2) * self.most_workers
        if self.most_workers > 1 and self.batch_size < least:
            raise WorkloadError(
                f"{self}: each of {self.most_workers} workers needs rows of every batch; give a batch_size of "
                f"{least} or more, or fewer workers."
            )
        if min(each for each in (self.accumulate, self.patience, self.checkpoint_steps) if each is not None) < 1:
            raise WorkloadError(f"{self}: accumulate, patience and checkpoint_steps must be above 0.")
        if not 0 < self.validation_share < 0.5:
            raise WorkloadError(f"{self}: validation_share must lie between 0 and 0.5.")
        if self.cpus_per_worker is not None and not 0 < self.cpus_per_worker < inf:
            raise WorkloadError(f"{self}: cpus_per_worker must be above 0, such as 0.5 or 4.")
        self._refuse_spans()

    def _refuse_spans(self) -> None:
        if self.fit_time is not None and self.fit_time <= timedelta():
            raise WorkloadError(f"{self}: fit_time must be above 0; None means as long as it takes.")
        if not self.windows:
            raise WorkloadError(f"{self}: windows must name at least one span; None means all history.")
        if any(span is not None and span <= timedelta() for span in self.windows):
            raise WorkloadError(f"{self}: each of windows must be above 0; None means all history.")

    @property
    def fewest_workers(self) -> int:
        """How many workers a fit needs to go on."""
        return self.num_workers if isinstance(self.num_workers, int) else self.num_workers[0]

    @property
    def most_workers(self) -> int:
        """How many workers a fit takes where there is room."""
        return self.num_workers if isinstance(self.num_workers, int) else self.num_workers[1]
