"""Candidate and champion on the same hold-out rows, and what the gates say."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from heliostat import cohorts, gates
from heliostat.declared.revisions import renamed_since
from heliostat.errors import TrainingError
from heliostat.govern.candidates import sure_gain
from heliostat.govern.evidence import evidence
from heliostat.learn.bundle import ServedModel, constant_of
from heliostat.learn.faults import guarded_metrics
from heliostat.learn.told_answers import told_answers
from heliostat.metrics import log_loss, stored
from heliostat.records import ModelVersion
from heliostat.store.bundles import read_bundle
from heliostat.tasks import Task
from heliostat.watch.monitor_json import reference_to_json
from heliostat.watch.reference import loss_reference
from heliostat.workload import Workload
from jobs import _entry
from jobs._contest import chosen_and_judged, loop_windows
from jobs._guarding import further
from jobs._inputs import with_inputs
from jobs._screen import screened


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The verdict on one version, and the numbers behind it.

    `judged_version` was fitted without the hold-out; `version` is the same fit with it, and what takes traffic. They
    are one and the same where nothing was fitted again. `sure_gain` is by how much a row it is surely (one-sided 95%)
    better than the champion; 0 without one to compare with, or on too few windows of time.
    """

    version: int
    judged_version: int
    evidence: gates.Evidence
    verdict: gates.Promote | gates.Hold
    inputs: Mapping[str, Any]
    sure_gain: float = 0.0
    loss_metric: str = log_loss.name

    @property
    def loss(self) -> float:
        """The mean loss on the hold-out."""
        return self.evidence.candidate[self.loss_metric]

    @property
    def is_promote(self) -> bool:
        """True when every gate held."""
        return isinstance(self.verdict, gates.Promote)

    def as_dict(self) -> dict[str, Any]:
        """For the journal and the result line."""
        return {
            "version": self.version,
            "judged_version": self.judged_version,
            "verdict": "promote" if self.is_promote else "hold",
            "reasons": list(self.verdict.reasons),
            "holdout_rows": self.evidence.num_rows,
            "sure_gain": self.sure_gain,
            "gain": None if self.evidence.paired is None else -self.evidence.paired.mean_difference,
            "scores": stored(self.evidence.candidate),
            "constant": stored(self.evidence.constant),
            "inputs": dict(self.inputs),
        }


def judge(job: _entry.Job, numbers: Sequence[int], *, as_of: datetime) -> list[Judgement]:
    """One judgement a version that may take traffic, on the matured rows after its twin's training, up to `as_of`."""
    name = job.workload.name
    versions = {version.number: version for version in job.catalog.versions(name)}
    refitted = {(version.run_id, version.lineage.get("refit_of")): version for version in versions.values()}
    champion = versions.get(job.catalog.aliases(name).get("champion", 0))
    found = []
    for number in numbers:
        version = versions[number]
        if "refit_of" not in version.lineage:
            rows = known_rows(job, version, as_of=as_of)
            traffic = refitted.get((version.run_id, version.candidate), version)
            is_own = champion is None or champion.number == traffic.number
            # Judged again, a champion is compared with nobody: the rows that its twin did not see are enough.
            other = None if is_own else champion
            holdout = _holdout(rows, version, champion=other)
            if other is not None and _is_contested(version, versions.values()):
                _, holdout = chosen_and_judged(job.workload, holdout)
            found.append(judge_on(job, version, holdout, rows=rows, champion=other, traffic=traffic))
    return found


def _is_contested(version: ModelVersion, versions: Iterable[ModelVersion]) -> bool:
    """Whether its run fitted several candidates, of which the hold-out chose one."""
    judged = [one for one in versions if one.run_id == version.run_id and "refit_of" not in one.lineage]
    return len(judged) > 1


def known_rows(job: _entry.Job, version: ModelVersion, *, as_of: datetime) -> pa.Table:
    """Every labelled row up to `as_of`; at the instant of the fit itself, from the very tables that it saw.

    Labels that are suspected judge nobody, either.
    """
    is_own = datetime.fromisoformat(version.lineage["as_of"]) == as_of
    tables = {name: number for name, number in version.lineage["snapshot"].items() if number is not None}
    rows = cohorts.training_rows(
        job.lake,
        job.workload,
        as_of=as_of,
        versions=tables if is_own else None,
        shut_out=version.lineage.get("shut_out", ()) if is_own else screened(job, as_of=as_of),
    )
    return with_inputs(rows, job.workload, version.lineage.get("inputs", {}))


def judged_twin(job: _entry.Job, number: int) -> int:
    """The version that is judged in place of `number`: the one that it is a refit of, or itself."""
    version = job.catalog.version(job.workload.name, number)
    twins = [
        other.number
        for other in job.catalog.versions(job.workload.name)
        if (other.run_id, other.candidate) == (version.run_id, version.lineage.get("refit_of"))
    ]
    return twins[0] if twins else number


def judge_on(
    job: _entry.Job,
    version: ModelVersion,
    holdout: pa.Table,
    *,
    rows: pa.Table,
    champion: ModelVersion | None,
    traffic: ModelVersion,
) -> Judgement:
    """The judgement on a hold-out that neither was fitted to; `traffic` is what would answer in the version's place.

    `rows` are all that were known, for gates that look at older ones.
    """
    task = job.workload.task
    labels, answers = holdout["label"].to_numpy(), _answers(job, version, holdout)
    theirs = None if champion is None else _answers(job, champion, holdout)
    days = holdout["event_at"].cast(pa.date32()).to_numpy()
    found = evidence(
        labels,
        answers,
        champion=None if champion is None else champion.number,
        champion_answers=theirs,
        constant=constant_of(version.lineage),
        blocks=days,
        task=task,
        metrics=guarded_metrics(job.workload),
    )
    found = replace(
        found,
        further=further(
            job.workload,
            holdout=holdout,
            rows=rows,
            first_event_at=datetime.fromisoformat(version.lineage["first_event_at"]),
            own=_answering(job, version),
            champion=None if champion is None else _answering(job, champion),
        ),
    )
    return Judgement(
        version=traffic.number,
        judged_version=version.number,
        evidence=found,
        verdict=_verdict(job.workload, found),
        sure_gain=0.0 if theirs is None else _sure_gain(job.workload, holdout, answers, theirs),
        loss_metric=task.loss.name,
        inputs={
            "tables": version.lineage["snapshot"],
            "as_of": version.lineage["as_of"],
            "window": _window(holdout),
            # What a trial on live rows is compared with: answers of another kind are a fault.
            "distance": None if theirs is None else float(task.distances(answers, theirs).mean()),
            "estimate": None if theirs is None else _estimate(task, answers, theirs),
            task.loss.name: reference_to_json(loss_reference(labels, answers, blocks=days, task=task)),
        },
    )


def _sure_gain(
    workload: Workload, holdout: pa.Table, answers: NDArray[np.float64], theirs: NDArray[np.float64]
) -> float:
    task, labels = workload.task, holdout["label"].to_numpy()
    blocks = loop_windows(holdout, workload.loop.window)
    found = sure_gain(task.losses(labels, answers), task.losses(labels, theirs), blocks)
    return found if np.isfinite(found) else 0.0


def _estimate(task: Task, answers: NDArray[np.float64], theirs: NDArray[np.float64]) -> float | None:
    """How much more loss a row the one expects of itself than the other."""
    own, other = task.expected(answers), task.expected(theirs)
    return None if own is None or other is None else own.loss - other.loss


def _verdict(workload: Workload, found: gates.Evidence) -> gates.Promote | gates.Hold:
    minimum = workload.loop.min_holdout_rows
    if found.num_rows < minimum:
        return gates.Hold(
            (f"{found.num_rows} rows are left to judge on, Loop(min_holdout_rows={minimum}) asks for more",)
        )
    return gates.decide(workload.gates, found)


def _window(rows: pa.Table) -> list[str]:
    """The first and the last event time of the rows."""
    return [at.as_py().isoformat() for at in (pc.min(rows["event_at"]), pc.max(rows["event_at"]))]


def _holdout(rows: pa.Table, version: ModelVersion, *, champion: ModelVersion | None) -> pa.Table:
    """Rows that neither the judged version nor the champion was fitted to."""
    since = datetime.fromisoformat(version.lineage["holdout_since"])
    holdout = answered_rows(rows, [] if champion is None else [champion], since=since)
    if holdout.num_rows == 0:
        raise TrainingError(
            f"No labelled row from {since:%Y-%m-%d} on was known by then, so version {version.number} cannot be "
            "judged. Judge at the instant of its training, or later."
        )
    return holdout


def answered_rows(rows: pa.Table, versions: Sequence[ModelVersion], *, since: datetime) -> pa.Table:
    """The rows since then that none of the versions was fitted to: judged on those it would look better than it is."""
    lasts = [fitted_until(version) for version in versions]
    _, unseen = cohorts.parted(rows, at=max([since, *(last + timedelta(microseconds=1) for last in lasts)]))
    return unseen


def fitted_until(version: ModelVersion) -> datetime:
    """The last event that the version was fitted to, or could have been."""
    said = version.lineage.get("last_event_at") or version.lineage.get("as_of")
    if said is None:
        raise TrainingError(
            f"The lineage of version {version.number} does not say until when it was trained "
            "(last_event_at, as_of), so no version can be judged beside it. Promote one over v1/promote, unjudged."
        )
    return datetime.fromisoformat(said)


def _answers(job: _entry.Job, version: ModelVersion, rows: pa.Table) -> NDArray[np.float64]:
    return _answering(job, version)(rows)


def _answering(job: _entry.Job, version: ModelVersion) -> Callable[[pa.Table], NDArray[np.float64]]:
    """Answers rows as the version does; it is loaded with the first call."""
    loaded = functools.cache(lambda: ServedModel.load(read_bundle(version.bundle_uri, version.bundle_hash)))
    names = renamed_since(job.workload.earlier)
    return lambda rows: told_answers(loaded(), rows, renamed=names, version=version.number)


def best(judgements: Sequence[Judgement]) -> Judgement:
    """The one to go on with: of those that were fitted again, where any were, who passed, then the lower loss.

    The contest of a run fits only its winner again. Who lost it passes no gate in the winner's place: a window of a few
    days would, whenever all that knows more fails.
    """
    again = [each for each in judgements if each.version != each.judged_version]
    return min(again or judgements, key=lambda each: (not each.is_promote, each.loss))
