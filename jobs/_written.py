"""What was fitted, scored on later rows, and written as a bundle with the profile of its rows."""

from typing import Any

import pyarrow as pa
import ray.train.torch

from heliostat.learn import bundle, network_answers
from heliostat.learn.faults import scored
from heliostat.learn.fit import Fitted
from heliostat.learn.streamed import Streamed
from heliostat.learn.told_answers import told_answers
from heliostat.metrics import stored
from heliostat.store.bundles import write_bundle
from heliostat.watch.profile import Profile
from heliostat.workload import Workload
from jobs._fit_run import FitRun
from jobs._windows import shown


def scores(workload: Workload, fitted: Fitted, validation: pa.Table) -> dict[str, float | None]:
    """What the calibrated answers to the later rows score."""
    answers = told_answers(_answering(workload, fitted), validation)
    labels = validation["label"].to_numpy()
    found = {f"validation_{metric.name}": scored(workload, metric, labels, answers) for metric in workload.scored_by}
    return stored(found)


def _answering(workload: Workload, fitted: Fitted) -> bundle.ServedModel:
    """What was fitted, ready to answer where it was fitted."""
    model = bundle.served(workload, fitted)
    if model.kind == network_answers.KIND:
        model.move_to(str(ray.train.torch.get_device()))
    return model


def write(
    run: FitRun,
    workload: Workload,
    fitted: Fitted,
    rows: pa.Table | Streamed,
    *,
    lineage: dict[str, Any],
    scores: dict[str, float | None],
) -> dict[str, Any]:
    """The bundle with the profile of `rows`, written by the first worker, who alone is sure to have all weights.

    Of many rows only some are answered, as long as the others would wait for it.
    """
    answered = shown(rows)
    profile = Profile.fit(
        answered,
        workload.columns,
        answers=told_answers(_answering(workload, fitted), answered),
        whole=answered if isinstance(rows, Streamed) else rows,
        task=workload.task,
        window=workload.loop.window,
        together=workload.watching.together,
        within=workload.watching.within,
    )
    files = bundle.to_files(
        run.module, fitted, profile=profile.to_json(), lineage=lineage, configuration=run.configuration
    )
    ref = write_bundle(f"{run.bundles_uri}/{workload.name}", files)
    return {
        "candidate": lineage["candidate"],
        "kind": bundle.kind_of(fitted),
        "bundle_uri": ref.uri,
        "bundle_hash": ref.hash,
        "lineage": lineage,
        "scores": scores,
    }
