"""What a version answers to rows of the lake; what its workload's own code raises there becomes one sentence."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.declared.revisions import as_trained
from heliostat.errors import HeliostatError, TrainingError
from heliostat.learn.examples import Examples, Origin
from heliostat.learn.faults import RAISED, fault, is_out_of_memory, said
from heliostat.learn.network_answers import KIND
from heliostat.learn.rows import EVENT_AT, KEY
from heliostat.learn.served_model import ServedModel

Values = NDArray[np.float64]


def told_answers(
    model: ServedModel,
    rows: pa.Table,
    *,
    renamed: Mapping[str, str] | None = None,
    version: int | None = None,
    of: str | None = None,
) -> Values:
    """The answers to logged rows in their order; TrainingError names file, line and row where encode or network fail.

    `renamed` are columns that have another name today, `version` is the number that the sentence tells, `of` its
    workload where that is another one.
    """
    seen = as_trained(rows, model.columns, renamed=renamed or {})
    try:
        return model.answers(seen)
    except RAISED as error:
        told = None if isinstance(error, HeliostatError) or model.kind != KIND else _told(model, seen, rows, error)
        if told is None:
            raise
        whose = "" if of is None else f" of {of!r}"
        raise TrainingError(told if version is None else f"Version {version}{whose} cannot answer: {told}") from error


def _told(model: ServedModel, seen: pa.Table, rows: pa.Table, error: BaseException) -> str | None:
    if is_out_of_memory(error):
        return (
            f"{said('the network', model.workload, error)}: the memory does not suffice for a single row; take a "
            "larger node, or make the network or what encode gives smaller, and train again."
        )
    known = rows.select([name for name in (KEY, EVENT_AT) if name in rows.column_names])
    examples = Examples(
        batch={},
        labels=np.zeros(seen.num_rows),
        positions=np.arange(seen.num_rows),
        origin=Origin(rows=known, preparation=model.preparation),
    )

    def encoded(part: Examples) -> object:
        return model.encode(seen.take(pa.array(part.positions)))

    def answered(part: Examples) -> object:
        return model.logits(seen.take(pa.array(part.positions)))

    try:
        encoded(examples)
    except RAISED as raised:
        found = fault("encode", model.workload, raised, examples, again=encoded)
    else:
        found = fault("the network", model.workload, error, examples, again=answered)
    return None if found is None else str(found)
