"""The part of `jobs.score` that runs in Ray Data: pieces of the input in, files of answers out."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa
import ray
import ray.data
import torch
from ray.data import ActorPoolStrategy, DataContext, Dataset

from cluster import resources
from heliostat.bulk.pinning import Asking
from heliostat.bulk.scored import Origin, Scored, score
from heliostat.errors import HeliostatError
from heliostat.learn.served_model import ServedModel
from heliostat.records import BundleRef
from heliostat.store.bundles import read_bundle
from heliostat.store.inputs import Part
from heliostat.store.outputs import Output, Written

BLOCK_BYTES = 16 * 1024 * 1024  # held a few times over by each actor; larger ones would leave small inputs to one actor
_PART, _ROW = "__heliostat_part", "__heliostat_row"
_MAX_REASONS = 20


@dataclass(frozen=True, kw_only=True)
class ScoreRun:
    """What every worker of a run must know; a plain value, so it pickles."""

    origin: Origin
    bundle: BundleRef
    output: Output
    read: tuple[str, ...]
    where: tuple[str, ...]
    carry: tuple[str, ...]
    with_inputs: bool
    batch_rows: int
    asking: Asking | None = None


@dataclass
class Tally:
    """What was written so far, none of it committed."""

    answers: list[Written] = field(default_factory=list)
    rejected: list[Written] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def num_answered(self) -> int:
        """Rows with an answer."""
        return sum(written.num_rows for written in self.answers)

    @property
    def num_rejected(self) -> int:
        """Rows without one."""
        return sum(written.num_rows for written in self.rejected)

    def add(self, reported: pa.Table) -> None:
        """Count what an actor reported of its blocks."""
        for row in reported.to_pylist():
            self.answers += [Written(**one) for one in json.loads(row["answers"])]
            self.rejected += [Written(**one) for one in json.loads(row["rejected"])]
            self.reasons.update(json.loads(row["reasons"]))


def dataset(run: ScoreRun, parts: Sequence[Part], *, num_actors: int) -> Dataset:
    """One row for every block that was answered and written: see `Tally.add`. Holds a few blocks at a time."""
    DataContext.get_current().target_max_block_size = BLOCK_BYTES
    has_gpu = bool(ray.cluster_resources().get("GPU", 0))  # type: ignore[no-untyped-call]
    read = ray.data.from_items([{"part": part} for part in parts], override_num_blocks=len(parts)).map_batches(
        partial(_read, run=run), batch_size=1, batch_format="numpy", num_cpus=resources.SCORE_READ_CPUS
    )
    return read.map_batches(
        BlockScorer,
        fn_constructor_args=(run,),
        compute=ActorPoolStrategy(min_size=1, max_size=num_actors),
        batch_format="pyarrow",
        batch_size=None,
        num_cpus=resources.SCORE_ACTOR_CPUS,
        num_gpus=1.0 if has_gpu else None,
    )


def default_actors() -> int:
    """One a GPU; without any, for half the CPUs."""
    found = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return int(found.get("GPU", 0)) or max(1, int(found.get("CPU", 1)) // 2)


def _read(batch: dict[str, np.ndarray], *, run: ScoreRun) -> Iterator[pa.Table]:
    for part in batch["part"]:
        for rows, table in part.pieces(run.read, run.where):
            numbers = pa.repeat(pa.scalar(part.number, pa.int32()), table.num_rows)
            yield table.append_column(_PART, numbers).append_column(_ROW, pa.array(rows))


class BlockScorer:
    """One version, loaded once; answers blocks and writes each to a file that no reader sees before the commit."""

    def __init__(self, run: ScoreRun) -> None:
        os.nice(resources.BATCH_NICENESS)
        self._run = run
        self._model = ServedModel.load(read_bundle(run.bundle.uri, run.bundle.hash))
        self._model.warm()
        if torch.cuda.is_available():
            self._model.move_to("cuda")
        asking = run.asking
        self._answers = self._model if asking is None else asking.composed(self._model, run.origin.version)

    def __call__(self, block: pa.Table) -> pa.Table:
        """What was written: a row with the files as JSON."""
        scored = [self._score(piece) for piece in _by_part(block)]
        answers = pa.concat_tables([one.answers for one in scored])
        rejected = pa.concat_tables([one.rejected for one in scored])
        kinds = Counter(_kind(reason) for reason in rejected["reason"].to_pylist())
        return pa.table(
            {
                "answers": [json.dumps(self._written(answers, rejected=False))],
                "rejected": [json.dumps(self._written(rejected, rejected=True))],
                "reasons": [json.dumps(dict(kinds.most_common(_MAX_REASONS)))],
            }
        )

    def _score(self, piece: pa.Table) -> Scored:
        run = self._run
        return score(
            piece.drop_columns([_PART, _ROW]),
            self._answers,
            workload=self._model.workload,
            columns=self._model.columns,
            origin=run.origin,
            part=piece[_PART][0].as_py(),
            rows=piece[_ROW].to_numpy(),
            batch_rows=run.batch_rows,
            carry=run.carry,
            with_inputs=run.with_inputs,
        )

    def _written(self, table: pa.Table, *, rejected: bool) -> list[dict[str, object]]:
        if not table.num_rows:
            return []
        return [asdict(self._run.output.write(self._run.origin.run_id, table, rejected=rejected))]


def cause(error: BaseException) -> HeliostatError | None:
    """The error of ours for which a worker stopped, None when it was another."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, HeliostatError):
        seen = getattr(seen, "cause", None) or seen.__cause__
    return None if seen is None else type(seen)(str(seen).partition("\n")[0])


def _by_part(block: pa.Table) -> Iterator[pa.Table]:
    """Pieces of one part each, in order: a block may hold the end of one part and the start of the next."""
    if not block.num_rows:
        return
    parts = block[_PART].to_numpy()
    ends = [*(np.flatnonzero(np.diff(parts)) + 1).tolist(), len(parts)]
    start = 0
    for end in ends:
        yield block.slice(start, end - start)
        start = end


def _kind(reason: str) -> str:
    """The reason without the value, so that reasons can be counted."""
    return "; ".join(sorted({one.partition("; got ")[0] for one in reason.split("; ") if not one.startswith("got ")}))
