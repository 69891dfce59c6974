"""What every workload must satisfy, looked at before anything runs: on a few rows of its own source, in seconds."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from heliostat.errors import HeliostatError, WorkloadError
from heliostat.intake import take
from heliostat.learn import trees
from heliostat.learn.faults import RAISED, said
from heliostat.learn.forward import forward
from heliostat.learn.new_network import new_network
from heliostat.learn.objective import outputs_of
from heliostat.learn.prepare import Preparation
from heliostat.store.schema import raw_schema
from heliostat.workload import Encoded, Workload

NUM_ROWS = 200
LATER_THAN_ALL = datetime(2200, 1, 1, tzinfo=UTC)
Answer = TypeVar("Answer")


def check(workload: Workload) -> None:
    """Return when a sample of the workload's own rows goes all the way to outputs.

    Else raise WorkloadError (ContractError when the source lacks columns) with the mistake and its remedy.
    """
    raw_schema(workload.columns)  # refuses names that the lake uses itself
    rows = _rows(workload, _read(workload))
    _check_labels(workload, rows)
    if "network" in workload.kinds:
        _check_network(workload, rows.slice(0, NUM_ROWS))
    if "trees" in workload.kinds:
        trees.xgboost()


def _read(workload: Workload) -> pa.Table:
    parts = list(_user_code(workload, "source.parts", workload.source.parts))
    if not parts:
        raise WorkloadError(f"The source of {workload.name!r} has no parts; `parts()` must name at least one.")
    table = _user_code(workload, "source.read", lambda: workload.source.read(parts[0]))
    if not isinstance(table, pa.Table) or table.num_rows == 0:
        raise WorkloadError(
            f"Part {parts[0]!r} of the source gives no rows; `read` must return a pyarrow.Table of them."
        )
    for name in (workload.event_time, workload.due_time, workload.label_time):
        if name is None:
            continue
        kind = table.schema.field(name).type if name in table.column_names else None
        if kind is not None and (not pa.types.is_timestamp(kind) or kind.tz is None):
            raise WorkloadError(
                f"Column {name!r} must hold instants with a time zone; it is {kind}. Make it timestamp[us, tz=UTC]."
            )
    return table


def _rows(workload: Workload, table: pa.Table) -> pa.Table:
    """The rows that keep the contract; most must, and a key must tell them apart."""
    intake = take(workload, table, since=None, until=LATER_THAN_ALL)
    good, rejected = intake.good, intake.rejected
    _refuse_labels(workload, table)
    if rejected.num_rows > good.num_rows:
        raise WorkloadError(
            f"{rejected.num_rows:,} of {table.num_rows:,} rows break the contract, for example: "
            f"{rejected['reason'][0].as_py()}. Correct the ranges of the columns, or the source."
        )
    num_keys = pc.count_distinct(good["key"]).as_py()
    if num_keys < good.num_rows:
        raise WorkloadError(
            f"The key {workload.key!r} does not tell rows apart: {good.num_rows:,} rows have {num_keys:,} values. "
            "Make it unique, or no label finds its row."
        )
    return good


def _refuse_labels(workload: Workload, table: pa.Table) -> None:
    said = pa.chunked_array(table[workload.label.name])
    wrong = np.flatnonzero(np.isinf(workload.task.codes(said)))
    if len(wrong):
        shown = pc.unique(said.take(pa.array(wrong))).to_pylist()[:5]
        allowed = workload.task.allowed
        raise WorkloadError(f"The label {workload.label.name!r} must be {allowed}; it also holds {shown}.")


def _check_labels(workload: Workload, rows: pa.Table) -> None:
    if rows["label"].null_count == rows.num_rows:
        raise WorkloadError(
            f"The label {workload.label.name!r} is null in every row of the first part, so nothing can be learned; "
            f"give it, and in {workload.label_time!r} when it became known."
        )


def _check_network(workload: Workload, rows: pa.Table) -> None:
    preparation = Preparation.fit(rows, workload.columns, rare_below=1)
    encoded = _user_code(workload, "encode", lambda: workload.encode(preparation.prepare(rows)))
    alone = _user_code(workload, "encode", lambda: workload.encode(preparation.prepare(rows.slice(rows.num_rows - 1))))
    _check_encoded(encoded, alone, num_rows=rows.num_rows)
    module = _user_code(workload, "model", lambda: new_network(workload, preparation.sizes)).eval()
    with torch.inference_mode():
        shape = (rows.num_rows, *outputs_of(workload.task))
        logits = _user_code(workload, "model", lambda: forward(module, encoded, shape=shape))
    if not torch.isfinite(logits).all():
        raise WorkloadError("The network gives logits that are not finite; encode must give no NaN.")


def _check_encoded(encoded: Encoded, alone: Encoded, *, num_rows: int) -> None:
    for name, tensor in encoded.items():
        if len(tensor) != num_rows:
            raise WorkloadError(f"encode gives {name!r} with {len(tensor)} rows for {num_rows}; give one for each.")
        if not torch.equal(tensor[-1:].nan_to_num(), alone[name].nan_to_num()):
            raise WorkloadError(
                f"encode gives another {name!r} for a row alone than in a batch, so training and serving would see "
                "different inputs. It must look at each row by itself; what is learned belongs in the network."
            )


def _user_code(workload: Workload, name: str, call: Callable[[], Answer]) -> Answer:
    """What the user's function gives; its own exception becomes one sentence with file and line."""
    try:
        return call()
    except HeliostatError:
        raise
    # The edge of code that a user wrote: whatever it raises is told as a mistake in the workload.
    except RAISED as error:
        raise WorkloadError(f"{said(name, workload, error)}. Mend it there.") from error
