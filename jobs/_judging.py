"""Candidate and champion on the same hold-out rows, and what the gates say."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat import cohorts, gates
from heliostat.errors import TrainingError
from heliostat.govern.evidence import evidence
from heliostat.learn.bundle import ServedModel
from heliostat.records import ModelVersion
from heliostat.store.bundles import read_bundle
from jobs import _entry


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """One version's verdict and the numbers behind it."""

    version: int
    evidence: gates.Evidence
    verdict: gates.Promote | gates.Hold

    @property
    def is_promote(self) -> bool:
        """True when every gate held."""
        return isinstance(self.verdict, gates.Promote)

    def as_dict(self) -> dict[str, Any]:
        """For the journal and the result line."""
        return {
            "version": self.version,
            "verdict": "promote" if self.is_promote else "hold",
            "reasons": list(self.verdict.reasons),
            "holdout_rows": self.evidence.num_rows,
            "scores": dict(self.evidence.candidate),
            "constant": dict(self.evidence.constant),
        }


def judge(job: _entry.Job, versions: list[int], *, as_of: datetime) -> list[Judgement]:
    """One judgement a version, on the matured rows of the hold-out span before `as_of`."""
    workload = job.workload
    rows = cohorts.training_rows(job.lake, workload, as_of=as_of)
    lineage = job.catalog.version(workload.name, versions[0]).lineage
    _, holdout = cohorts.split_by_time(rows, at=datetime.fromisoformat(lineage["holdout_since"]))
    if holdout.num_rows == 0:
        raise TrainingError(
            f"No labelled row from {lineage['holdout_since']} on was known by {as_of:%Y-%m-%d}, so nothing can be "
            "judged. Judge at the instant of the training, or later."
        )
    champion = job.catalog.aliases(workload.name).get("champion")
    if champion in versions:
        champion = None  # nothing is compared with itself
    champion_answers = None if champion is None else _answers(job, champion, holdout)
    return [
        _judge_one(job, version, holdout, champion=champion, champion_answers=champion_answers) for version in versions
    ]


def _judge_one(
    job: _entry.Job,
    version: int,
    holdout: pa.Table,
    *,
    champion: int | None,
    champion_answers: NDArray[np.float64] | None,
) -> Judgement:
    record = job.catalog.version(job.workload.name, version)
    found = evidence(
        holdout["label"].to_numpy(),
        _answers(job, version, holdout),
        champion=champion,
        champion_probabilities=champion_answers,
        train_rate=float(record.lineage["label_rate"]),
        blocks=holdout["event_at"].cast(pa.date32()).to_numpy(),
    )
    return Judgement(version=version, evidence=found, verdict=gates.decide(job.workload.gates, found))


def _answers(job: _entry.Job, version: int, rows: pa.Table) -> NDArray[np.float64]:
    record: ModelVersion = job.catalog.version(job.workload.name, version)
    model = ServedModel.load(read_bundle(record.bundle_uri, record.bundle_hash))
    return model.probabilities(rows.select([column.name for column in job.workload.columns]))


def best(judgements: list[Judgement]) -> Judgement:
    """The one to go on with: those that passed before those that did not, then the lowest log loss."""
    return min(judgements, key=lambda each: (not each.is_promote, each.evidence.candidate["log_loss"]))
