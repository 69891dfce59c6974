"""The kinds of model beside a strong baseline, on a table of yours: the newest share of the rows is the hold-out.

    python -m benchmarks.models --data bookings.parquet --label cancelled --event-time booked_at

Network and trees as `jobs.train` fits them with their defaults (chosen and calibrated on later rows, then fitted again
on all rows before the hold-out); scikit-learn's HistGradientBoosting with its defaults, on all of these rows.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from heliostat import Batch, Binary, Category, Encoded, Number, Trees, Workload
from heliostat.columns import Column
from heliostat.learn.bundle import served
from heliostat.learn.fit import fit, refit
from heliostat.learn.fit_trees import fit_trees, refit_trees
from heliostat.learn.network import TabularNetwork, stack
from heliostat.learn.rows import split_by_time
from heliostat.metrics import auc, brier, log_loss
from jobs._simulation_learner import Trees as ScikitTrees

Answers = Callable[[pa.Table], NDArray[np.float64]]


class Rows:
    """No source: the benchmark hands rows on itself."""

    def parts(self) -> list[str]:
        return []

    def read(self, part: str) -> pa.Table:
        raise KeyError(part)


def declared(columns: list[Column]) -> Workload:
    """A workload with both kinds of model and every default."""
    numbers = [column.name for column in columns if isinstance(column, Number)]
    categories = [column.name for column in columns if isinstance(column, Category)]

    def encode(batch: Batch) -> Encoded:
        return stack([batch[name] for name in numbers], categories=[batch[name] for name in categories])

    def model(sizes: Mapping[str, int]) -> torch.nn.Module:
        return TabularNetwork(len(numbers), [sizes[name] for name in categories])

    return Workload(
        name="benchmark",
        source=Rows(),
        key="key",
        event_time="event_at",
        due_time="due_at",
        label_time="label_known_at",
        columns=columns,
        label=Binary("label"),
        encode=encode,
        model=model,
        trees=Trees(),
    )


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


def kinds(workload: Workload, known: pa.Table) -> dict[str, Callable[[], Answers]]:
    """How each contender is fitted to the rows before the hold-out."""
    train, validation = split_by_time(known, share=workload.training.validation_share)

    def network() -> Answers:
        first = fit(workload, train, validation, seed=0)
        again = refit(workload, known, num_epochs=first.best_epoch + 1, calibration=first.calibration, seed=0)
        return served(workload, again).probabilities

    def trees() -> Answers:
        first = fit_trees(workload, train, validation, seed=0)
        again = refit_trees(workload, known, num_rounds=first.best_epoch + 1, calibration=first.calibration, seed=0)
        return served(workload, again).probabilities

    def scikit() -> Answers:
        return ScikitTrees(workload.columns).fit(known, known["label"].to_numpy()).probabilities

    def constant() -> Answers:
        rate = pc.mean(known["label"]).as_py()
        return lambda rows: np.full(rows.num_rows, rate)

    return {"constant": constant, "network": network, "trees": trees, "HistGradientBoosting": scikit}


def measured(name: str, fitting: Callable[[], Answers], holdout: pa.Table) -> dict[str, Any]:
    """One line of the table."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    answers = fitting()
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    labels, found = holdout["label"].to_numpy(), answers(holdout)
    spans = []
    for row in range(50):
        started = time.perf_counter()
        answers(holdout.slice(row, 1))
        spans.append((time.perf_counter() - started) * 1000)
    scores = [metric(labels, found) for metric in (log_loss, auc, brier)]
    return {"name": name, "scores": scores, "wall_s": wall_s, "cpu_s": cpu_s, "row_ms": float(np.median(spans))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a Parquet file")
    parser.add_argument("--label", required=True, help="a column of 0 and 1, or a number with --above")
    parser.add_argument("--above", type=float, help="the label is whether the number is above this")
    parser.add_argument("--event-time", required=True)
    parser.add_argument("--drop", nargs="*", default=[], help="columns that are no inputs")
    parser.add_argument("--categories", nargs="*", default=[], help="numbers that only tell things apart")
    parser.add_argument("--holdout", type=float, default=0.2, help="share of the newest rows (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows, columns = read(options)
    known, holdout = split_by_time(rows, share=options.holdout)
    print(f"{known.num_rows:,} rows to learn from, {holdout.num_rows:,} later ones to be judged by\n")
    print("| model | log loss | AUC | Brier | fit s (CPU s) | one row ms |\n|---|---|---|---|---|---|")
    for name, fitting in kinds(declared(columns), known).items():
        line = measured(name, fitting, holdout)
        scores = " | ".join(f"{score:.4f}" for score in line["scores"])
        print(f"| {name} | {scores} | {line['wall_s']:.1f} ({line['cpu_s']:.1f}) | {line['row_ms']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
