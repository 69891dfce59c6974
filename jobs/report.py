"""Show what the loop was worth: the replayed months as answered by the loop and by what it is compared with.

Reads:  lake: raw, predictions, labels; catalog: turns, replay
Writes: results/<workload>.json and results/<workload>.png
"""

import argparse
import json
import sys
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat import cohorts, metrics
from heliostat.blocks import block_bootstrap
from heliostat.declared.revisions import as_trained, renamed_since
from heliostat.errors import NotFoundError, WorkloadError
from heliostat.learn.bundle import ServedModel
from heliostat.store.bundles import read_bundle
from jobs import _comparison, _entry, _plot
from jobs._table import LABEL_BY_POLICY, render

Values = NDArray[np.float64]


def report(job: _entry.Job) -> _entry.Result:
    """Score every policy on the replayed rows with a label; write the table and the plot."""
    name = job.workload.name
    if job.workload.task.kind != "binary":
        raise WorkloadError("jobs.report compares labels of two values alone; see v1/metrics for others.")
    replayed = job.catalog.get_state(name, "replay")
    if replayed is None:
        raise NotFoundError(f"Nothing of {name!r} was replayed yet: run jobs.replay first.")
    since = datetime.fromisoformat(replayed["since"])
    asked = cohorts.answered(job.lake, job.workload, since=since)
    history = cohorts.history(job.lake, job.workload, before=since)
    labels = asked["label"].to_numpy()
    answers = _answers(job, history=history, asked=asked, since=since)
    turns = job.catalog.get_state(name, "turns") or {"turns": []}
    result = {
        "workload": name,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows_with_label": asked.num_rows,
        "labels_used": job.catalog.versions(name)[-1].lineage["num_rows"],
        "scores": {policy: _scores(labels, answers[policy]) for policy in LABEL_BY_POLICY},
        "differences": _differences(labels, answers, asked),
        "turns": turns["turns"],
        "replay": replayed,
    }
    job.settings.results_dir.mkdir(parents=True, exist_ok=True)
    plot = job.settings.results_dir / f"{name}.png"
    _plot.draw(plot, asked["event_at"].to_numpy(), labels, answers, turns=turns["turns"], title=name)
    path = job.settings.results_dir / f"{name}.json"
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(result | {"plot": str(plot)}, indent=1, default=str))
    partial.replace(path)  # whole or not at all: `make run` takes it for the sign that the run is done
    print(render(result), flush=True)
    return {"result": str(path), "plot": str(plot)}


def _answers(job: _entry.Job, *, history: pa.Table, asked: pa.Table, since: datetime) -> dict[str, Values]:
    workload = job.workload
    first = job.catalog.version(workload.name, _first_champion(job))
    model = ServedModel.load(read_bundle(first.bundle_uri, first.bundle_hash))
    known = _comparison.known_at(history, since)
    rate = float(np.mean(known["label"].to_numpy()))
    print(f"comparison: fitted on {known.num_rows:,} rows known before {since:%Y-%m-%d}", flush=True)
    trees = _comparison.Trees.fit(known, workload.columns, seed=workload.training.seed)
    both = pa.concat_tables([history, asked.select(history.column_names)])
    return {
        "constant": np.full(asked.num_rows, rate),
        "never": model.answers(as_trained(asked, model.columns, renamed=renamed_since(workload.earlier))),
        "loop": asked["probability"].to_numpy(),
        "trees": trees.probabilities(asked, workload.columns),
        "trees_monthly": _comparison.retrained_monthly(both, asked, workload.columns, seed=workload.training.seed),
    }


def _first_champion(job: _entry.Job) -> int:
    promotions = job.catalog.entries(job.workload.name, kind="version_promoted", limit=1)
    return int(promotions[0].payload["version"])


def _scores(labels: Values, answers: Values) -> dict[str, float]:
    return {metric.name: round(metric(labels, answers), 4) for metric in metrics.ALL}


def _differences(labels: Values, answers: dict[str, Values], asked: pa.Table) -> dict[str, Any]:
    """Log loss of the loop less that of others, with an interval over resampled days."""
    days = asked["event_at"].cast(pa.date32()).to_numpy()
    loop = metrics.log_losses(labels, answers["loop"])
    found = {}
    for other in ("never", "trees", "trees_monthly"):
        difference = loop - metrics.log_losses(labels, answers[other])
        mean, low, high = block_bootstrap(difference, days)
        found[other] = {"mean": round(mean, 4), "low": round(low, 4), "high": round(high, 4)}
    return found


def arguments() -> argparse.ArgumentParser:
    """The options of this job."""
    return _entry.parser(__doc__ or "")


if __name__ == "__main__":
    sys.exit(_entry.run(report, arguments()))
