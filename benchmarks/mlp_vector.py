"""The same workload as `benchmarks/mlp.py` with its 32 numbers as one vector, as the other servers are asked."""

from dataclasses import dataclass

import pyarrow as pa

from benchmarks import mlp
from benchmarks.network import NUM_INPUTS
from heliostat import Batch, Encoded, Serving, Vector, Workload
from heliostat.learn.network import tensor
from heliostat.vectors import from_matrix

NAME = "inputs"


@dataclass(frozen=True)
class Rows(mlp.Rows):
    """The same rows, their numbers in one column."""

    def read(self, part: str) -> pa.Table:
        """All rows."""
        table = super().read(part)
        matrix = table.select(mlp.NAMES).to_batches()[0].to_tensor().to_numpy()
        return table.drop_columns(list(mlp.NAMES)).append_column(NAME, from_matrix(matrix))


def encode(batch: Batch) -> Encoded:
    """The matrix of the request as it came."""
    return {NAME: tensor(batch[NAME])}


workload = Workload(
    name="vector",
    source=Rows(),
    key="question",
    event_time="asked_at",
    due_time="due_at",
    label_time="known_at",
    columns=[Vector(NAME, NUM_INPUTS, low=-100, high=100)],
    label=mlp.workload.label,
    encode=encode,
    model=mlp.model,
    retrain_on=mlp.workload.retrain_on,
    serving=Serving(num_replicas=1),
)
