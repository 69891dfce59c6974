"""Answers long requests in a process of its own, beside the replicas and after them in line for the processor.

Reads:  what was asked, in the job's folder or at its input; bundles
Writes: the job's folder; write-ahead segments: predictions
"""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from actors.proxy import catalog
from cluster.resources import BATCH_NICENESS
from heliostat.answer_jobs import AnswerJob
from heliostat.bulk.composed import Composed
from heliostat.bulk.pinning import Asking, Pin, pins
from heliostat.bulk.requested import Aside, Piece, RequestReader, as_table
from heliostat.errors import HeliostatError, TrainingError
from heliostat.ids import prediction_ids, scoped
from heliostat.records import BundleRef
from heliostat.serving.arrow_stream import ARROW, read_stream
from heliostat.serving.problem import NESTED, MalformedError, TooLargeError
from heliostat.serving.revisions import Revisions
from heliostat.serving.rows import Contract
from heliostat.settings import Settings
from heliostat.store.answer_folder import AnswerFolder, result_schema
from heliostat.store.catalog import Catalog
from heliostat.store.inputs import open_input
from heliostat.store.schema import INSTANT, conform, prediction_schema
from heliostat.store.segments import SegmentWriter
from heliostat.tasks import Task, told_arrays
from heliostat.workload import load
from serve_apps.engine.versions import LoadedVersion, load_version

REJECTED, ANSWERED = "rejected", "answered"


class Worker:
    """One version at a time, kept between requests; says how far it is while it works."""

    def __init__(self, module: str, settings: Settings, catalog: Callable[[], Catalog] = catalog) -> None:
        os.nice(BATCH_NICENESS)
        self._workload = workload = load(module)
        self._catalog = catalog
        self._limits = workload.long_answers
        self._asks_others = bool(workload.inputs) or workload.combine is not None
        self._contract = Contract.of(workload)
        self._task = self._contract.task
        self._revisions = Revisions(self._contract, docs=f"/{workload.name}/docs")
        self._log_schema = prediction_schema(self._contract.logged, task=self._task, with_commit=False)
        self._segments_dir = settings.segments_dir / workload.name
        self._loaded: LoadedVersion | None = None
        self._num_done = 0

    def progress(self) -> int:
        """How many rows the request in work has behind it."""
        return self._num_done

    def answer(self, job: AnswerJob, bundle: BundleRef) -> dict[str, Any]:
        """The counts of an attempt whose result is written whole, or `error` with the reason that it cannot be."""
        self._num_done = 0
        try:
            return self._answered(job, self._version(bundle))
        except HeliostatError as error:
            # Asked for something that cannot be answered: another attempt would end the same way.
            return {"error": str(error)}
        except RecursionError:
            return {"error": str(NESTED)}

    def _answered(self, job: AnswerJob, version: LoadedVersion) -> dict[str, Any]:
        aside = Aside(max_rows=self._limits.max_rejected_rows)
        reader = RequestReader(
            revisions=self._revisions,
            revision=job.contract_revision,
            by=job.by,
            request_id=f"{job.by}/{job.job_id}",
            received_at=job.created_at,
            aside=aside,
        )
        folder, num_rows = AnswerFolder(job.folder), 0
        composed = self._composed(job, version, folder) if self._asks_others else None
        log = SegmentWriter(self._segments_dir, "predictions", schema=self._log_schema)
        try:
            with folder.result_writer(job.attempt, self._task) as writer:
                for piece in self._pieces(job, reader, folder):
                    logged = self._piece(piece, version if composed is None else composed, job, aside)
                    # Logged as requests are; an attempt that repeats this gives the same ids, which count once.
                    for batch in conform(logged, self._log_schema).combine_chunks().to_batches():
                        log.append(batch)
                    writer.write_table(_answers(logged, self._task))
                    num_rows += logged.num_rows
                    self._num_done = num_rows + len(aside.reason_by_row)
        finally:
            log.rotate()
        folder.put_rejected(job.attempt, aside.reason_by_row)
        return {"num_rows": num_rows, "num_rejected": len(aside.reason_by_row)}

    def _pieces(self, job: AnswerJob, reader: RequestReader, folder: AnswerFolder) -> Iterator[Piece]:
        limits = self._limits
        if job.input_uri is not None:
            yield from self._input(job.input_uri, reader)
        elif job.media_type == ARROW:
            # In memory a column may be larger than it was sent, by its dictionary: as far as the body may be.
            columns = read_stream(folder.request(job.digest), max_rows=limits.max_rows, max_bytes=limits.max_body_bytes)
            yield from reader.columns(pa.table(columns))
        else:
            rows = _rows_of(folder.request(job.digest))
            self._refuse_too_many(len(rows))
            yield from reader.rows(rows)

    def _input(self, uri: str, reader: RequestReader) -> Iterator[Piece]:
        opened = open_input(uri, as_text=self._revisions.current.extra_names)
        # Other columns of a table are no mistake, as an unknown name in a request is.
        read = [name for name in opened.schema.names if name in self._revisions.names]
        start = 0
        for part in opened.parts:
            for _, table in part.pieces(read):
                self._refuse_too_many(start + table.num_rows)
                yield from reader.columns(table, start=start, others_are_fine=True)
                start += table.num_rows

    def _refuse_too_many(self, num_rows: int) -> None:
        limit = self._limits.max_rows
        if num_rows > limit:
            raise TooLargeError(f"A job may have {limit} rows; got at least {num_rows}. Ask for them in several jobs.")

    def _composed(self, job: AnswerJob, version: LoadedVersion, folder: AnswerFolder) -> Composed:
        """The version with those that it asks: their champions when the first attempt began."""
        inputs, combine = tuple(self._workload.inputs), self._workload.combine
        known = folder.pins()
        if known is None:
            pinned = pins(self._catalog(), self._workload.name, inputs=inputs, combine=combine)
            folder.put_pins([pin.to_json() for pin in pinned])
        else:
            pinned = tuple(Pin.from_json(each) for each in known)
        return Asking.of(self._workload, pinned).composed(version, job.version or 0)

    def _piece(self, piece: Piece, version: LoadedVersion | Composed, job: AnswerJob, aside: Aside) -> pa.Table:
        """The rows as they are logged, answers among them; rows whose needed answer is missing are put aside."""
        inputs, answered_with = as_table(piece.rows, self._contract.logged), None
        kept = np.arange(piece.rows.num_rows)
        if isinstance(version, Composed):
            said = version.said(inputs)
            inputs = said.rows
            answers = np.asarray(said.answers, np.float64).reshape(-1, *self._task.shape)
            answered_with = pa.array(said.answered_with, pa.string())
            for row, reason in sorted(said.refused.items()):
                aside.put(piece.start + row, reason)
            kept = np.setdiff1d(kept, list(said.refused))
        else:
            answers = version.answers(inputs)
        if len(answers) != piece.rows.num_rows or not self._task.are_answers(answers).all():
            raise TrainingError(f"Version {job.version} gave no finite answer for each row; ask another version.")
        logged = _logged(piece, self._task.columns(answers), job)
        if answered_with is not None:
            logged = logged.append_column("answered_with", answered_with)
        for name in inputs.column_names:
            logged = logged.append_column(name, inputs[name])
        return logged if len(kept) == logged.num_rows else logged.take(pa.array(kept))

    def _version(self, bundle: BundleRef) -> LoadedVersion:
        if self._loaded is None or self._loaded.bundle != bundle:
            self._loaded = load_version(bundle, self._contract)
        return self._loaded


def _logged(piece: Piece, answers: Mapping[str, pa.Array], job: AnswerJob) -> pa.Table:
    """One row of the log a row of the request, without its inputs."""
    rows, num_rows = piece.rows, piece.rows.num_rows
    columns = {
        # Ids of requests, not of scored tables: these rows lie in one table with all others, and must not meet there.
        "id": prediction_ids(scoped(job.by, job.job_id), rows.event_at, first_row=piece.start),
        "request_id": pa.repeat(pa.scalar(job.job_id), num_rows),
        "row": pa.array(np.arange(piece.start, piece.start + num_rows), pa.int32()),
        "key": pa.array(rows.keys),
        "event_at": pa.array(rows.event_at, INSTANT),
        "due_at": pa.array(rows.due_at, INSTANT),
        "received_at": pa.repeat(pa.scalar(job.created_at, INSTANT), num_rows),
        "revision": pa.repeat(pa.scalar(rows.revision, pa.int32()), num_rows),
        "version": pa.repeat(pa.scalar(job.version, pa.int32()), num_rows),
        "arm": pa.repeat(pa.scalar("champion"), num_rows),
        "degraded": pa.repeat(pa.scalar(False), num_rows),
        **answers,
        # Nobody waited for it: among the latencies of requests the hours of a queue would hide everything.
        "latency_ms": pa.nulls(num_rows, pa.float32()),
    }
    return pa.table(columns)


def _answers(logged: pa.Table, task: Task) -> pa.Table:
    """What the caller gets of logged rows."""
    columns = {
        "row": logged["row"].cast(pa.int64()),
        "id": logged["id"],
        "key": logged["key"],
        **told_arrays(task, task.answers(logged).tolist()),
        "model_version": logged["version"],
    }
    return pa.table(columns, schema=result_schema(task))


def _rows_of(body: bytes) -> list[Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedError(f"The body is no JSON: {error}.") from error
    rows = document.get("rows") if isinstance(document, dict) else None
    if not isinstance(rows, list) or not rows:
        raise MalformedError('A job looks like {"rows": [{...}]}; got no list `rows` of at least one object.')
    return rows
