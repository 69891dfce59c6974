"""The kinds of model beside strong baselines, on a table of yours, images or texts: the newest rows are the hold-out.

    python -m benchmarks.models --data bookings.parquet --label cancelled --event-time booked_at
    python -m benchmarks.models --data bookings.parquet --label room --kind classes --event-time booked_at
    python -m benchmarks.models --data bookings.parquet --label nights --kind quantity --event-time booked_at
    python -m benchmarks.models --flights
    python -m benchmarks.models --digits
    python -m benchmarks.models --docstrings

Network and trees as `jobs.train` fits them with the settings of `heliostat.learn.tabular.auto` (chosen and calibrated
on later rows, then fitted again on all rows before the hold-out); "auto" is the better of both on the newest tenth of
the rows to learn from. Baselines on all of these rows: scikit-learn and LightGBM (pip install '.[benchmarks]') with
their defaults and after a search; XGBoost after a search. Intervals: 95%, bootstrap over the days of the hold-out, of
the loss of the network less that of the baseline: log loss, or of a quantity the share of the variance that is left.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from benchmarks import model_baselines, model_kinds
from benchmarks.model_data import TEXT, digits, docstrings, flights, read
from benchmarks.model_kinds import Answers, declared
from heliostat import Training, Vector, Workload
from heliostat.blocks import block_bootstrap
from heliostat.learn.images import image_network
from heliostat.learn.row_checks import days
from heliostat.learn.rows import split_by_time
from heliostat.learn.text import text_network
from heliostat.metrics import Metric, accuracy, auc, brier, log_loss, macro_f1, mae, r2, rmse
from heliostat.tasks import Task

Fits = Mapping[str, Callable[[Workload, pa.Table], Answers]]
OURS = "network"
METRICS: Mapping[str, tuple[Metric, ...]] = {
    "binary": (log_loss, auc, brier),
    "classes": (log_loss, accuracy, macro_f1),
    "quantity": (rmse, mae, r2),
}


def tabular_fits() -> Fits:
    """Who competes on a table."""
    fits: dict[str, Callable[[Workload, pa.Table], Answers]] = {
        "constant": model_kinds.constant,
        OURS: model_kinds.network,
        "network, seed 1": partial(model_kinds.network, seed=1),
        "trees (XGBoost)": model_kinds.xgboost,
        "auto": model_kinds.auto,
        "HistGradientBoosting": model_baselines.scikit,
        "HistGradientBoosting, tuned": model_baselines.tuned_scikit,
        "XGBoost, tuned": model_kinds.tuned_xgboost,
    }
    if find_spec("lightgbm") is not None:
        fits["LightGBM"] = model_baselines.lightgbm
        fits["LightGBM, tuned"] = partial(model_baselines.lightgbm, is_tuned=True)
    return fits


IMAGES: Fits = {
    "constant": model_kinds.constant,
    OURS: model_kinds.network,
    "SVC": model_baselines.support_vectors,
    "HistGradientBoosting": model_baselines.scikit,
}
STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)
TEXTS: Fits = {
    "constant": model_kinds.constant,
    OURS: model_kinds.network,
    "network, seed 1": partial(model_kinds.network, seed=1),
    "TF-IDF, logistic regression": model_baselines.words,
    "the same, tuned": partial(model_baselines.words, strengths=STRENGTHS),
    "the same with parts of words, tuned": partial(model_baselines.words, strengths=STRENGTHS, with_parts=True),
}


def losses_of(task: Task, labels: NDArray[np.float64], answers: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is compared row by row: log losses, or of a quantity the squared error as a share of the variance."""
    return 1 - task.row_scores(labels, answers) if task.kind == "quantity" else task.losses(labels, answers)


def measured(fitting: Callable[[], Answers], task: Task, holdout: pa.Table) -> dict[str, Any]:
    """One line of the table."""
    cpu_s = time.process_time()
    answers = fitting()
    cpu_s = time.process_time() - cpu_s
    labels, found = holdout["label"].to_numpy(), answers(holdout)
    spans = []
    for row in range(50):
        started = time.process_time()
        answers(holdout.slice(row, 1))
        spans.append((time.process_time() - started) * 1000)
    scores = [metric(labels, found) for metric in METRICS[task.kind]]
    losses = losses_of(task, labels, found)
    inside = None
    if task.kind == "quantity" and found.ndim == 2:
        inside = float(((found[:, 1] <= labels) & (labels <= found[:, 2])).mean())
    return {"scores": scores, "losses": losses, "cpu_s": cpu_s, "row_ms": float(np.median(spans)), "inside": inside}


def line_of(name: str, line: dict[str, Any], ours: NDArray[np.float64] | None, blocks: NDArray[np.int64]) -> str:
    """One contender as a row of the printed table."""
    scores = " | ".join(f"{score:.4f}" for score in line["scores"])
    against = ""
    if ours is not None and name != OURS:
        mean, low, high = block_bootstrap(ours - line["losses"], blocks)
        against = f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]"
    return f"| {name} | {scores} | {against} | {line['cpu_s']:.1f} | {line['row_ms']:.2f} |"


def compared(fits: Fits, workload: Workload, known: pa.Table, holdout: pa.Table, blocks: NDArray[np.int64]) -> None:
    """Print the table, each line when it is known; of quantities also how many labels the intervals held."""
    named = [metric.name.replace("_", " ") for metric in METRICS[workload.task.kind]]
    heads = ["model", *named, "network less this", "fit, CPU s", "one row, CPU ms"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    ours: NDArray[np.float64] | None = None
    inside = {}
    for name, fitting in sorted(fits.items(), key=lambda each: each[0] != OURS):
        line = measured(partial(fitting, workload, known), workload.task, holdout)
        ours = line["losses"] if name == OURS else ours
        print(line_of(name, line, ours, blocks), flush=True)
        if line["inside"] is not None:
            inside[name] = f"{name} {line['inside']:.1%}"
    if inside:
        print(f"\nin their intervals: {', '.join(inside.values())}")


def options_of() -> argparse.ArgumentParser:
    """What can be asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rows = parser.add_mutually_exclusive_group(required=True)
    rows.add_argument("--data", help="a Parquet file; with --label and --event-time")
    rows.add_argument("--flights", action="store_true", help="the example's flights: which class of delay")
    rows.add_argument("--digits", action="store_true", help="scikit-learn's images")
    rows.add_argument("--docstrings", action="store_true", help="texts of installed packages")
    parser.add_argument("--label", help="the column that is asked for")
    parser.add_argument("--kind", choices=list(METRICS), default="binary", help="what it is (default: %(default)s)")
    parser.add_argument("--above", type=float, help="the label is whether the number is above this")
    parser.add_argument("--event-time")
    parser.add_argument("--drop", nargs="*", default=[], help="columns that are no inputs")
    parser.add_argument("--categories", nargs="*", default=[], help="numbers that only tell things apart")
    parser.add_argument("--holdout", type=float, default=0.2, help="share of the newest rows (default: %(default)s)")
    parser.add_argument("--only", nargs="+", help="these contenders alone, and the network")
    parser.add_argument("--most", type=int, help="so many rows at most, drawn at random with seed 0")
    return parser


def asked(options: argparse.Namespace) -> tuple[pa.Table, Workload, Fits]:
    """The rows, the workload, and who competes."""
    if options.digits:
        rows, columns = digits()
        model = image_network(Vector("pixels", 64), height=8, width=8)
        training = Training(epochs=30, batch_size=64, learning_rate=3e-3, validation_share=0.2)
        return rows, declared(columns, **model, training=training), IMAGES
    if options.docstrings:
        rows, columns = docstrings()
        return rows, declared(columns, **text_network(TEXT)), TEXTS
    rows, columns, label = flights() if options.flights else read(options)
    return rows, declared(columns, label), tabular_fits()


def main() -> None:
    parser = options_of()
    options = parser.parse_args()
    if options.data and not (options.label and options.event_time):
        parser.error("--data needs --label and --event-time")
    torch.set_num_threads(1)
    rows, workload, fits = asked(options)
    if options.most is not None and rows.num_rows > options.most:
        kept = np.random.default_rng(0).choice(rows.num_rows, options.most, replace=False)
        rows = rows.take(pa.array(np.sort(kept)))
    if options.only:
        fits = {name: fit for name, fit in fits.items() if name in (OURS, *options.only)}
    known, holdout = split_by_time(rows, share=options.holdout)
    print(f"{known.num_rows:,} rows to learn from, {holdout.num_rows:,} later ones to be judged by\n")
    # The days of a table; of images and texts each its own.
    blocks = np.arange(holdout.num_rows) if options.digits or options.docstrings else days(holdout)
    compared(fits, workload, known, holdout, blocks)


if __name__ == "__main__":
    main()
