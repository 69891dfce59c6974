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

from heliostat import cohorts
from heliostat.blocks import block_bootstrap
from heliostat.declared.revisions import renamed_since
from heliostat.errors import NotFoundError
from heliostat.learn.bundle import ServedModel
from heliostat.learn.told_answers import told_answers
from heliostat.store.bundles import read_bundle
from heliostat.tasks import Task, repeated
from jobs import _comparison, _entry, _plot
from jobs._table import LABEL_BY_POLICY, render

Values = NDArray[np.float64]


def report(job: _entry.Job) -> _entry.Result:
    """Score every policy on the replayed rows with a label; write the table and the plot."""
    name, task = job.workload.name, job.workload.task
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
        "loss": task.loss.name,
        "scores": {policy: _scores(labels, answers[policy], task) for policy in LABEL_BY_POLICY},
        "differences": _differences(labels, answers, asked, task),
        "turns": turns["turns"],
        "replay": replayed,
    }
    job.settings.results_dir.mkdir(parents=True, exist_ok=True)
    plot = job.settings.results_dir / f"{name}.png"
    _plot.draw(plot, asked["event_at"].to_numpy(), labels, answers, turns=turns["turns"], task=task, title=name)
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
    task = workload.task
    print(f"comparison: fitted on {known.num_rows:,} rows known before {since:%Y-%m-%d}", flush=True)
    seed = workload.training.seed
    trees = _comparison.Trees.fit(known, workload.columns, seed=seed, task=task)
    both = pa.concat_tables([history, asked.select(history.column_names)])
    return {
        "constant": repeated(task.constant(known["label"].to_numpy()), asked.num_rows),
        "never": told_answers(model, asked, renamed=renamed_since(workload.earlier), version=first.number),
        "loop": task.answers(asked),
        "trees": trees.answers(asked, workload.columns),
        "trees_monthly": _comparison.retrained_monthly(both, asked, workload.columns, seed=seed, task=task),
    }


def _first_champion(job: _entry.Job) -> int:
    promotions = job.catalog.entries(job.workload.name, kind="version_promoted", limit=1)
    return int(promotions[0].payload["version"])


def _scores(labels: Values, answers: Values, task: Task) -> dict[str, float]:
    return {metric.name: round(metric(labels, answers), 4) for metric in task.metrics}


def _differences(labels: Values, answers: dict[str, Values], asked: pa.Table, task: Task) -> dict[str, Any]:
    """The loss of the loop less that of others, with an interval over resampled days."""
    days = asked["event_at"].cast(pa.date32()).to_numpy()
    loop = task.losses(labels, answers["loop"])
    found = {}
    for other in ("never", "trees", "trees_monthly"):
        difference = loop - task.losses(labels, answers[other])
        mean, low, high = block_bootstrap(difference, days)
        found[other] = {"mean": round(mean, 4), "low": round(low, 4), "high": round(high, 4)}
    return found


def arguments() -> argparse.ArgumentParser:
    """The options of this job."""
    return _entry.parser(__doc__ or "")


if __name__ == "__main__":
    sys.exit(_entry.run(report, arguments()))
