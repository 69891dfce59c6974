"""Our models in `benchmarks.models`: each is fitted from the same rows, the newest of which choose its settings."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat import Binary, Trees, Workload
from heliostat.columns import Column
from heliostat.labels import Label
from heliostat.learn import tabular
from heliostat.learn.bundle import served
from heliostat.learn.fit import Fitted, fit, refit
from heliostat.learn.fit_trees import fit_trees, refit_trees
from heliostat.learn.rows import split_by_time
from heliostat.tasks import repeated

Answers = Callable[[pa.Table], NDArray[np.float64]]
LABEL = Binary("label")
HOLDOUT_SHARE = 0.1  # of the rows to learn from, by which `auto` chooses
NUM_DRAWS = 8  # settings that are tried where a model is tuned


class Rows:
    """No source: the benchmark hands rows on itself."""

    def parts(self) -> list[str]:
        return []

    def read(self, part: str) -> pa.Table:
        raise KeyError(part)


def declared(columns: Sequence[Column], label: Label = LABEL, **model: Any) -> Workload:
    """A workload with both kinds of model and every default; `model` replaces what `auto` gives."""
    times = {"key": "key", "event_time": "event_at", "due_time": "due_at", "label_time": "label_known_at"}
    given = {**tabular.auto(columns, label), **model}
    return Workload(name="benchmark", source=Rows(), columns=columns, label=label, **times, **given)


def network(workload: Workload, known: pa.Table, *, seed: int = 0) -> Answers:
    """As `jobs.train` fits it: calibrated on later rows, then fitted again on all rows for as many epochs."""
    first = fit(workload, *split_by_time(known, share=workload.training.validation_share), seed=seed)
    return _again(
        workload, refit(workload, known, num_epochs=first.best_epoch + 1, calibration=first.calibration, seed=seed)
    )


def xgboost(workload: Workload, known: pa.Table, *, trees: Trees | None = None) -> Answers:
    """The same of XGBoost."""
    workload = replace(workload, trees=trees or Trees())
    first = fit_trees(workload, *split_by_time(known, share=workload.training.validation_share), seed=0)
    return _again(
        workload, refit_trees(workload, known, num_rounds=first.best_epoch + 1, calibration=first.calibration, seed=0)
    )


def _again(workload: Workload, fitted: Fitted) -> Answers:
    return served(workload, fitted).answers


def tuned_xgboost(workload: Workload, known: pa.Table) -> Answers:
    """The best of a random search, by the loss on the newest tenth."""
    train, later = split_by_time(known, share=workload.training.validation_share)
    random = np.random.default_rng(1)
    drawn = [
        Trees(
            depth=int(random.integers(4, 11)),
            learning_rate=float(np.exp(random.uniform(np.log(0.02), np.log(0.2)))),
            row_share=float(random.uniform(0.6, 1)),
            column_share=float(random.uniform(0.4, 1)),
        )
        for _ in range(NUM_DRAWS)
    ]
    found = [fit_trees(replace(workload, trees=trees), train, later, seed=0) for trees in drawn]
    best = int(np.argmin([each.history[each.best_epoch].validation_loss for each in found]))
    return xgboost(workload, known, trees=drawn[best])


def auto(workload: Workload, known: pa.Table) -> Answers:
    """Whichever of trees and network does better on the newest rows, by the rows before, fitted again with them."""
    before, newest = split_by_time(known, share=HOLDOUT_SHARE)
    labels = newest["label"].to_numpy()
    losses = {
        name: workload.task.loss(labels, fitting(workload, before)(newest))
        for name, fitting in (("trees", xgboost), ("network", network))
    }
    print(f"auto: {losses} on its own hold-out", file=sys.stderr, flush=True)
    return (xgboost if losses["trees"] <= losses["network"] else network)(workload, known)


def constant(workload: Workload, known: pa.Table) -> Answers:
    """The best answer of the rows to learn from that is the same for all."""
    answer = np.asarray(workload.task.constant(known["label"].to_numpy()))
    return lambda rows: repeated(answer, rows.num_rows)
