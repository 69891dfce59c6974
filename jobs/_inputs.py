"""What other workloads would have said of old rows, for a workload that has their answers as inputs.

A row gets the answer of the newest version that had been champion and was trained on nothing known after the row's
event; a row older than all of them gets what `when_missing` says. What was answered when a row was served stays.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from heliostat.columns import Column
from heliostat.declared.inputs import RESERVED, Input
from heliostat.declared.revisions import renamed_since
from heliostat.errors import TrainingError
from heliostat.learn.bundle import ServedModel
from heliostat.learn.told_answers import told_answers
from heliostat.serving.filling import filling
from heliostat.store.bundles import read_bundle
from heliostat.workload import Workload

Pinned = Mapping[str, Sequence[Mapping[str, Any]]]
"""By workload its former and present champions, oldest training first: number, as_of, bundle_uri, bundle_hash."""


def with_inputs(rows: pa.Table, workload: Workload, pinned: Pinned) -> pa.Table:
    """The rows with the column of every input filled; those without an answer that is declared "fail" are left out."""
    for each in workload.inputs:
        column = next(column for column in workload.columns if column.name == each.column)
        said = _said(rows, workload, each, column, versions=pinned.get(each.workload, ()))
        filled = pc.coalesce(rows[each.column], pa.chunked_array([said]))
        if each.when_missing not in RESERVED:
            filled = pc.fill_null(filled, pa.scalar(each.when_missing, column.arrow_type))
        rows = rows.set_column(rows.schema.get_field_index(each.column), each.column, filled)
        if each.when_missing == "fail":
            rows = rows.filter(pc.is_valid(rows[each.column]))
    return rows


def _said(
    rows: pa.Table, workload: Workload, asked: Input, column: Column, *, versions: Sequence[Mapping[str, Any]]
) -> pa.Array:
    """One value a row, null for rows that are older than every version, and for what the column does not allow."""
    said: list[Any] = [None] * rows.num_rows
    starts = [datetime.fromisoformat(version["as_of"]) for version in versions]
    for version, since, until in zip(versions, starts, [*starts[1:], None], strict=True):
        mask = pc.greater_equal(rows["event_at"], pa.scalar(since, rows["event_at"].type))
        if until is not None:
            mask = pc.and_(mask, pc.less(rows["event_at"], pa.scalar(until, rows["event_at"].type)))
        places = pc.indices_nonzero(mask)
        if len(places):
            answers = _answers(rows.take(places), workload, asked, column, version=version)
            for place, answer in zip(places.to_pylist(), answers, strict=True):
                said[place] = answer
    return pa.array(said, column.arrow_type)


def _answers(
    rows: pa.Table, workload: Workload, asked: Input, column: Column, *, version: Mapping[str, Any]
) -> list[Any]:
    model = ServedModel.load(read_bundle(version["bundle_uri"], version["bundle_hash"]))
    lacking = [each.name for each in model.columns if not each.optional and each.name not in rows.column_names]
    if lacking:
        raise TrainingError(
            f"Version {version['number']} of {asked.workload!r} reads {lacking}, which {workload.name!r} does not "
            "declare; add these columns to it, or it could not be asked about the same rows."
        )
    answers = told_answers(
        model, rows, renamed=renamed_since(workload.earlier), version=version["number"], of=asked.workload
    )
    return filling(answers.tolist(), model.workload.task, column).plain
