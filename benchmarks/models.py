"""The kinds of model beside strong baselines, on a table of yours, images or texts: the newest rows are the hold-out.

    python -m benchmarks.models --data bookings.parquet --label cancelled --event-time booked_at
    python -m benchmarks.models --digits
    python -m benchmarks.models --docstrings

Network and trees as `jobs.train` fits them with the settings of `heliostat.learn.tabular.auto` (chosen and calibrated
on later rows, then fitted again on all rows before the hold-out). Baselines on all of these rows: scikit-learn with
its defaults; LightGBM (pip install '.[benchmarks]') with its defaults and after a search; XGBoost after a search.
Intervals: 95%, bootstrap over the days of the hold-out, of the log loss of the network less that of the baseline.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from benchmarks import model_kinds
from benchmarks.model_data import TEXT, digits, docstrings
from benchmarks.model_kinds import Answers, declared
from heliostat import Category, Number, Training, Vector, Workload
from heliostat.blocks import block_bootstrap
from heliostat.columns import Column
from heliostat.learn.images import image_network
from heliostat.learn.row_checks import days
from heliostat.learn.rows import split_by_time
from heliostat.learn.text import text_network
from heliostat.metrics import auc, brier, log_loss, log_losses

Fits = Mapping[str, Callable[[Workload, pa.Table], Answers]]
OURS = "network"


def read(options: argparse.Namespace) -> tuple[pa.Table, list[Column]]:
    """Rows under the lake's names in order of time, and what their inputs are."""
    table = pq.read_table(options.data)
    at = table[options.event_time].cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
    label = table[options.label].cast(pa.float64())
    if options.above is not None:
        label = pc.greater(label, options.above).cast(pa.float64())
    rows = pa.table({"key": [f"{row:09d}" for row in range(table.num_rows)], "event_at": at, "label": label})
    columns: list[Column] = []
    for name in table.column_names:
        values = table[name]
        if name in (options.label, options.event_time, *options.drop) or pa.types.is_temporal(values.type):
            continue
        is_category = name in options.categories or not pa.types.is_primitive(values.type)
        columns.append(Category(name, optional=True) if is_category else Number(name, -np.inf, np.inf, optional=True))
        rows = rows.append_column(name, values.cast(columns[-1].arrow_type))
    return rows.filter(pc.is_valid(rows["label"])).sort_by("event_at"), columns


def tabular_fits() -> Fits:
    """Who competes on a table."""
    fits: dict[str, Callable[[Workload, pa.Table], Answers]] = {
        "constant": model_kinds.constant,
        OURS: model_kinds.network,
        "network, seed 1": partial(model_kinds.network, seed=1),
        "trees (XGBoost)": model_kinds.xgboost,
        "HistGradientBoosting": model_kinds.scikit,
        "HistGradientBoosting, tuned": model_kinds.tuned_scikit,
        "XGBoost, tuned": model_kinds.tuned_xgboost,
    }
    if find_spec("lightgbm") is not None:
        fits["LightGBM"] = model_kinds.lightgbm
        fits["LightGBM, tuned"] = partial(model_kinds.lightgbm, is_tuned=True)
    return fits


IMAGES: Fits = {
    "constant": model_kinds.constant,
    OURS: model_kinds.network,
    "SVC": model_kinds.support_vectors,
    "HistGradientBoosting": model_kinds.scikit,
}
STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)
TEXTS: Fits = {
    "constant": model_kinds.constant,
    OURS: model_kinds.network,
    "network, seed 1": partial(model_kinds.network, seed=1),
    "TF-IDF, logistic regression": model_kinds.words,
    "the same, tuned": partial(model_kinds.words, strengths=STRENGTHS),
    "the same with parts of words, tuned": partial(model_kinds.words, strengths=STRENGTHS, with_parts=True),
}


def measured(fitting: Callable[[], Answers], holdout: pa.Table) -> dict[str, Any]:
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
    scores = [metric(labels, found) for metric in (log_loss, auc, brier)]
    losses = log_losses(labels, found)
    return {"scores": scores, "losses": losses, "cpu_s": cpu_s, "row_ms": float(np.median(spans))}


def line_of(name: str, line: dict[str, Any], ours: NDArray[np.float64] | None, blocks: NDArray[np.int64]) -> str:
    """One contender as a row of the printed table."""
    scores = " | ".join(f"{score:.4f}" for score in line["scores"])
    against = ""
    if ours is not None and name != OURS:
        mean, low, high = block_bootstrap(ours - line["losses"], blocks)
        against = f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]"
    return f"| {name} | {scores} | {against} | {line['cpu_s']:.1f} | {line['row_ms']:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="a Parquet file")
    parser.add_argument("--label", help="a column of 0 and 1, or a number with --above")
    parser.add_argument("--above", type=float, help="the label is whether the number is above this")
    parser.add_argument("--event-time")
    parser.add_argument("--drop", nargs="*", default=[], help="columns that are no inputs")
    parser.add_argument("--categories", nargs="*", default=[], help="numbers that only tell things apart")
    parser.add_argument("--holdout", type=float, default=0.2, help="share of the newest rows (default: %(default)s)")
    parser.add_argument("--most", type=int, help="so many rows at most, drawn at random with seed 0")
    parser.add_argument("--digits", action="store_true", help="scikit-learn's images in place of a table")
    parser.add_argument("--docstrings", action="store_true", help="texts of installed packages in place of a table")
    options = parser.parse_args()
    if options.digits + options.docstrings + bool(options.data and options.label and options.event_time) != 1:
        parser.error("give --data, --label and --event-time, or --digits, or --docstrings")
    torch.set_num_threads(1)
    rows, columns = digits() if options.digits else docstrings() if options.docstrings else read(options)
    if options.most is not None and rows.num_rows > options.most:
        kept = np.random.default_rng(0).choice(rows.num_rows, options.most, replace=False)
        rows = rows.take(pa.array(np.sort(kept)))
    known, holdout = split_by_time(rows, share=options.holdout)
    print(f"{known.num_rows:,} rows to learn from, {holdout.num_rows:,} later ones to be judged by\n")
    workload, fits = declared(columns), tabular_fits()
    if options.digits:
        model = image_network(Vector("pixels", 64), height=8, width=8)
        training = Training(epochs=30, batch_size=64, learning_rate=3e-3, validation_share=0.2)
        workload, fits = declared(columns, **model, training=training), IMAGES
    elif options.docstrings:
        workload, fits = declared(columns, **text_network(TEXT)), TEXTS
    heads = ["model", "log loss", "AUC", "Brier", "network less this", "fit, CPU s", "one row, CPU ms"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    ours: NDArray[np.float64] | None = None
    # The days of a table; of images and texts each its own.
    blocks = days(holdout) if options.data else np.arange(holdout.num_rows)
    for name, fitting in sorted(fits.items(), key=lambda each: each[0] != OURS):
        line = measured(partial(fitting, workload, known), holdout)
        ours = line["losses"] if name == OURS else ours
        print(line_of(name, line, ours, blocks), flush=True)


if __name__ == "__main__":
    main()
