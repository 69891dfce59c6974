"""Our network as the learner of a simulation: `TabularNetwork`, fitted nearly as a workload's defaults would."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.columns import Category, Column
from heliostat.declared.training import Training
from heliostat.learn import bundle
from heliostat.learn.fit import fit
from heliostat.learn.network import TabularNetwork, stack
from heliostat.learn.rows import EVENT_AT, KEY, LABEL, split_by_time
from heliostat.learn.served_model import ServedModel
from heliostat.simulate.learner import Whole
from heliostat.tasks import Task
from heliostat.workload import Batch, Encoded, Workload

Values = NDArray[np.float64]
START = datetime(2000, 1, 1, tzinfo=UTC)  # any fixed instant: only the order counts
STEPS_PER_EPOCH, MIN_BATCH, MIN_STEPS = 20, 32, 300
NUM_DAYS = 20  # of the rows that are fitted to: rows of one day err together


@dataclass(frozen=True, kw_only=True)
class NetworkModel:
    """A fitted network; its columns have names of their own, which nothing else takes."""

    names: Sequence[str]
    served: ServedModel

    def answers(self, rows: pa.Table) -> Values:
        """The answer to each row, in the shape of the task."""
        return self.served.answers(rows.rename_columns(list(self.names)))


class Networks:
    """Fits networks; the same rows give the same network."""

    def __init__(self, columns: Sequence[Column], *, task: Task, seed: int = 0) -> None:
        self._seed = seed
        named = tuple(replace(column, name=f"input_{place}") for place, column in enumerate(columns))
        self._names = tuple(column.name for column in named)
        self._workload = Workload(
            name="simulation",
            source=_Nowhere(),
            key="row",
            event_time="asked_at",
            due_time="due_at",
            label_time="told_at",
            columns=named,
            label=replace(task.label, name="truth"),
            encode=_Encode(named),
            model=_Model(named, num_outputs=task.shape[0] if task.kind == "classes" else None),
        )

    def begin(self, rows: pa.Table, labels: Values) -> Whole:
        """The whole fit: how a network does after a few steps says little."""
        return Whole(self.fit(rows, labels))

    def fit(self, rows: pa.Table, labels: Values) -> NetworkModel:
        """A network fitted to rows in time order, with labels that are not all the same."""
        days = [START + timedelta(days=int(day)) for day in np.arange(len(labels)) * NUM_DAYS // len(labels)]
        table = rows.rename_columns(list(self._names))
        table = table.append_column(KEY, pa.array(range(len(labels))).cast(pa.string()))
        table = table.append_column(EVENT_AT, pa.array(days, pa.timestamp("us", tz="UTC")))
        table = table.append_column(LABEL, pa.array(labels))
        train, validation = split_by_time(table, share=self._workload.training.validation_share)
        workload = replace(self._workload, training=_training(train.num_rows))
        fitted = fit(workload, train, validation, seed=self._seed)
        return NetworkModel(names=self._names, served=bundle.served(workload, fitted))


def _training(num_rows: int) -> Training:
    """The defaults, with more and smaller steps where there are few rows: five epochs of them would teach nothing."""
    batch_size = int(np.clip(num_rows // STEPS_PER_EPOCH, MIN_BATCH, Training.batch_size))
    epochs = max(Training.epochs, -(-MIN_STEPS * batch_size // num_rows))
    return Training(batch_size=batch_size, epochs=epochs)


@dataclass(frozen=True)
class _Nowhere:
    def parts(self) -> list[str]:
        return []

    def read(self, part: str) -> pa.Table:
        raise KeyError(part)


@dataclass(frozen=True)
class _Encode:
    """Numbers and categories; the network takes at least one of each, so a constant stands in where there is none."""

    columns: Sequence[Column]

    def __call__(self, batch: Batch) -> Encoded:
        codes = [batch[column.name] for column in self.columns if isinstance(column, Category)]
        numbers = [batch[column.name] for column in self.columns if not isinstance(column, Category)]
        num_rows = len((numbers or codes)[0])
        return stack(numbers or [np.zeros(num_rows)], categories=codes or [np.zeros(num_rows, np.int64)])


@dataclass(frozen=True)
class _Model:
    columns: Sequence[Column]
    num_outputs: int | None

    def __call__(self, sizes: Mapping[str, int]) -> TabularNetwork:
        categories = [sizes[column.name] for column in self.columns if isinstance(column, Category)]
        num_numbers = len(self.columns) - len(categories)
        return TabularNetwork(max(num_numbers, 1), categories or [2], num_outputs=self.num_outputs)
