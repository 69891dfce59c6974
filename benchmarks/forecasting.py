"""The forecasting block beside strong baselines: bike rentals of each hour, a day ahead; the newest are the hold-out.

    python -m benchmarks.forecasting --data stream.parquet

The data are those of UCI's bike sharing (columns dteday, hr, holiday, workingday, target). A forecast is made at every
twelfth hour, for each of the 24 hours to come, from the four weeks before it and the calendar; weather is not known
ahead. The network is fitted as `jobs.train` does, once with each of two seeds. Naive: the same hour a day, or a week,
before. Boosted trees (scikit-learn, and LightGBM of '.[benchmarks]') see the newest twelve values, those one, two,
three, seven, 14 and 21 days before the hour that is forecast, the means of a day, a week and four weeks, and the
calendar, and learn the difference to the week's mean, which is better than the value itself. Exponential smoothing
(statsmodels of '.[benchmarks]': additive, a season of a week) is fitted to the rows before the hold-out and smoothed
on. Intervals: 95%, bootstrap over the days of the hold-out, of the absolute error of the network (seed 0) less that of
the baseline.
"""

import argparse
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from benchmarks.model_baselines import drawn_lightgbm
from benchmarks.model_kinds import Rows
from heliostat import Category, Number, Quantity, Training, Vector, Workload
from heliostat.blocks import block_bootstrap
from heliostat.learn.bundle import served
from heliostat.learn.fit import fit, refit
from heliostat.learn.forecast import forecast_network
from heliostat.learn.forecast_rows import CALENDAR, forecast_rows
from heliostat.learn.row_checks import days
from heliostat.learn.rows import split_by_time
from heliostat.vectors import to_matrix

Values = NDArray[np.float64]
Answers = Callable[[pa.Table], Values]
OURS = "network"
NUM_DRAWS = 8  # settings that are tried where a baseline is tuned
DAY, WEEK = 24, 168
LENGTH = 4 * WEEK
SEASONS = (DAY, 2 * DAY, 3 * DAY, WEEK, 2 * WEEK, 3 * WEEK)
LABEL = Quantity("rentals", low=0)
WINDOW = Vector("window", LENGTH)
OTHERS = [
    Number("steps", 1, DAY),
    *(Number(name, 0, 1440) for name in CALENDAR),
    Category("holiday"),
    Category("workingday"),
]


def rentals(path: str, *, every: int) -> tuple[pa.Table, Values]:
    """Rows of forecasts under the lake's names, and the series itself hour by hour, NaN where none is told."""
    table = pq.read_table(path)
    hours = table["hr"].to_numpy().astype("m8[h]")
    at = table["dteday"].cast(pa.timestamp("us")).to_numpy().astype("M8[us]") + hours
    rows = forecast_rows(
        pa.chunked_array([at]),
        table["target"],
        series="bikes",
        spacing=timedelta(hours=1),
        length=LENGTH,
        steps=range(1, DAY + 1),
        every=every,
    )
    day = {
        name: dict(zip(at.astype("M8[D]"), table[name].to_pylist(), strict=True)) for name in ("holiday", "workingday")
    }
    target_days = rows["target_at"].to_numpy().astype("M8[D]")
    for name, value_by_day in day.items():
        rows = rows.append_column(name, pa.array([str(value_by_day.get(each)) for each in target_days]))
    renamed = {"forecast": "key", "made_at": "event_at", "value": "label"}
    rows = rows.rename_columns([renamed.get(name, name) for name in rows.column_names])
    series = np.full(int((at.max() - at.min()) // np.timedelta64(1, "h")) + 1, np.nan)
    series[((at - at.min()) // np.timedelta64(1, "h")).astype(int)] = table["target"].to_numpy()
    places = (rows["event_at"].to_numpy() - at.min()) // np.timedelta64(1, "h")
    return rows.append_column("place", pa.array(places)), series


def network(known: pa.Table, *, seed: int) -> Answers:
    """The block as `jobs.train` fits it."""
    workload = Workload(
        name="forecast",
        source=Rows(),
        key="key",
        event_time="event_at",
        due_time="due_at",
        label_time="label_known_at",
        columns=[WINDOW, *OTHERS],
        label=LABEL,
        training=Training(epochs=10, batch_size=256, learning_rate=4e-3, weight_decay=0.3),
        **forecast_network(WINDOW, OTHERS, LABEL, horizon=DAY, seasons=SEASONS),
    )
    first = fit(workload, *split_by_time(known, share=workload.training.validation_share), seed=seed)
    again = refit(workload, known, num_epochs=first.best_epoch + 1, calibration=first.calibration, seed=seed)
    return served(workload, again).answers


def naive(season: int) -> Answers:
    """The newest value whole seasons before the hour that is forecast."""
    return lambda rows: _before(rows, season)


def trees(make: Callable[[], Any], known: pa.Table) -> Answers:
    """Boosted trees on what is usually made of a window for them."""
    model = make().fit(_features(known), known["label"].to_numpy() - _week_mean(known))
    return lambda rows: np.asarray(_week_mean(rows) + model.predict(_features(rows))).clip(0)


def tuned_trees(make: Callable[..., Any], known: pa.Table) -> Answers:
    """The best of a random search by the absolute error on the newest tenth, fitted again."""
    train, later = split_by_time(known, share=0.1)
    random, labels = np.random.default_rng(1), later["label"].to_numpy()
    drawn = [{**drawn_lightgbm(random), "n_estimators": int(random.integers(50, 400))} for _ in range(NUM_DRAWS)]
    errors = [np.abs(labels - trees(partial(make, **each), train)(later)).mean() for each in drawn]
    return trees(partial(make, **drawn[int(np.argmin(errors))]), known)


def smoothing(known: pa.Table, series: Values) -> Answers:
    """Exponential smoothing of the series, its two rates fitted to what is before the hold-out."""
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel  # the extra `benchmarks` has it

    filled = np.where(np.isnan(series), 0.0, series)
    until = int(known["place"].to_numpy().max()) + 1
    model = ETSModel(filled[:until], seasonal="add", seasonal_periods=WEEK, initialization_method="heuristic")
    found = dict(zip(model.param_names, model.fit(disp=False).params, strict=True))
    level, phases = filled[:WEEK].mean(), filled[:WEEK] - filled[:WEEK].mean()
    levels, seasons = np.empty(len(filled)), np.empty((len(filled), WEEK))
    for place, value in enumerate(filled):
        error = value - level - phases[place % WEEK]
        level += found["smoothing_level"] * error
        phases[place % WEEK] += found["smoothing_seasonal"] * error
        levels[place], seasons[place] = level, phases

    def answers(rows: pa.Table) -> Values:
        places = rows["place"].to_numpy()
        return np.asarray(levels[places] + seasons[places, (places + _steps(rows)) % WEEK]).clip(0)

    return answers


def _steps(rows: pa.Table) -> NDArray[np.int64]:
    return rows["steps"].to_numpy().astype(np.int64)


def _before(rows: pa.Table, season: int) -> Values:
    window = to_matrix(rows["window"], length=LENGTH)
    return window[np.arange(len(window)), LENGTH - 1 + _steps(rows) - season].astype(np.float64)


def _week_mean(rows: pa.Table) -> Values:
    return to_matrix(rows["window"], length=LENGTH)[:, -WEEK:].mean(axis=1, dtype=np.float64)


def _features(rows: pa.Table) -> Values:
    window = to_matrix(rows["window"], length=LENGTH)
    known = [_before(rows, DAY * number) for number in (1, 2, 3, 7, 14, 21)]
    known += [window[:, -length:].mean(axis=1) for length in (DAY, WEEK, LENGTH)]
    known += [window[:, -number] for number in range(1, 13)]
    known += [rows[name].cast(pa.float64()).to_numpy() for name in ("steps", *CALENDAR, "holiday", "workingday")]
    return np.stack(known, axis=1)


def contenders(known: pa.Table, series: Values) -> dict[str, Callable[[], Answers]]:
    """Who competes, in the order of the table; the network first."""
    found: dict[str, Callable[[], Answers]] = {
        OURS: partial(network, known, seed=0),
        "network, seed 1": partial(network, known, seed=1),
        "naive, a day before": partial(naive, DAY),
        "naive, a week before": partial(naive, WEEK),
        "HistGradientBoosting": partial(trees, partial(HistGradientBoostingRegressor, random_state=0), known),
    }
    if find_spec("statsmodels") is not None:
        found["exponential smoothing"] = partial(smoothing, known, series)
    if find_spec("lightgbm") is not None:
        from lightgbm import LGBMRegressor  # the extra `benchmarks` has it

        quiet = partial(LGBMRegressor, n_jobs=1, random_state=0, verbose=-1)
        found["LightGBM"] = partial(trees, quiet, known)
        found["LightGBM, tuned"] = partial(tuned_trees, quiet, known)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a Parquet file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows, series = rentals(options.data, every=12)
    rows = rows.filter(rows["label"].is_valid())
    known, holdout = split_by_time(rows, share=0.2)
    labels, blocks = holdout["label"].to_numpy(), days(holdout)
    print(f"{known.num_rows:,} forecasts to learn from, {holdout.num_rows:,} later ones to be judged by\n")
    print(f"| model | MAE | RMSE | network less this | fit, CPU s |\n|{'---|' * 5}")
    ours: Values | None = None
    for name, fitting in contenders(known, series).items():
        cpu_s = time.process_time()
        answers = fitting()
        cpu_s = time.process_time() - cpu_s
        found = answers(holdout)
        errors = np.abs(labels - (found if found.ndim == 1 else found[:, 0]))
        ours = errors if ours is None else ours
        mean, low, high = block_bootstrap(ours - errors, blocks)
        against = "" if name == OURS else f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"
        rmse = np.sqrt(np.mean(errors**2))
        print(f"| {name} | {errors.mean():.2f} | {rmse:.2f} | {against} | {cpu_s:.1f} |", flush=True)
        if name == OURS:
            inside = (found[:, 1] <= labels) & (labels <= found[:, 2])
            held = f"The network's intervals for {LABEL.coverage:.0%} hold {inside.mean():.1%}."
    print(f"\n{held}")


if __name__ == "__main__":
    main()
