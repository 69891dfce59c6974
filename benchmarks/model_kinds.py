"""The contenders of `benchmarks.models`: each is fitted from the same rows, the newest of which choose its settings."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from heliostat import Binary, Trees, Workload
from heliostat.columns import Column
from heliostat.learn.bundle import served
from heliostat.learn.fit import Fitted, fit, refit
from heliostat.learn.fit_trees import fit_trees, refit_trees
from heliostat.learn.prepare import Preparation
from heliostat.learn.rows import split_by_time
from heliostat.learn.tabular import auto
from heliostat.learn.trees import COLUMNS, column_types, encode
from heliostat.metrics import log_loss
from jobs._simulation_learner import Trees as ScikitTrees

Answers = Callable[[pa.Table], NDArray[np.float64]]
NUM_DRAWS = 8  # settings that are tried where a baseline is tuned
MOST_ROUNDS = 400
MOST_CODES = 255  # that scikit-learn's trees take of a category; levels beyond count as unknown


class Rows:
    """No source: the benchmark hands rows on itself."""

    def parts(self) -> list[str]:
        return []

    def read(self, part: str) -> pa.Table:
        raise KeyError(part)


def declared(columns: Sequence[Column], **model: Any) -> Workload:
    """A workload with both kinds of model and every default; `model` replaces what `auto` gives."""
    times = {"key": "key", "event_time": "event_at", "due_time": "due_at", "label_time": "label_known_at"}
    given = {**auto(columns), **model}
    return Workload(name="benchmark", source=Rows(), columns=columns, label=Binary("label"), **times, **given)


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


def scikit(workload: Workload, known: pa.Table) -> Answers:
    """scikit-learn's HistGradientBoosting with its defaults."""
    return ScikitTrees(workload.columns).fit(known, known["label"].to_numpy()).answers


def tuned_scikit(workload: Workload, known: pa.Table) -> Answers:
    """scikit-learn's HistGradientBoosting, the best of a random search on the newest tenth, fitted again."""
    preparation = Preparation.fit(known, workload.columns)
    is_code = np.array([kind == "c" for kind in column_types(preparation)])

    def matrix(rows: pa.Table) -> NDArray[np.float32]:
        found = encode(preparation.prepare(rows))[COLUMNS].numpy()
        return np.where(is_code & (found >= MOST_CODES), 0, found)

    def fitted(settings: dict[str, Any], rows: pa.Table) -> HistGradientBoostingClassifier:
        model = HistGradientBoostingClassifier(**settings, categorical_features=is_code, random_state=0)
        return model.fit(matrix(rows), rows["label"].to_numpy())

    train, later = split_by_time(known, share=workload.training.validation_share)
    inputs, labels = matrix(later), later["label"].to_numpy()
    random = np.random.default_rng(1)
    found: list[tuple[float, dict[str, Any]]] = []
    for _ in range(NUM_DRAWS):
        drawn = {
            "max_leaf_nodes": int(random.integers(8, 128)),
            "learning_rate": float(np.exp(random.uniform(np.log(0.02), np.log(0.2)))),
            "min_samples_leaf": int(random.integers(5, 100)),
            "max_features": float(random.uniform(0.4, 1)),
            "l2_regularization": float(np.exp(random.uniform(-4, 3))),
        }
        model = fitted({**drawn, "max_iter": MOST_ROUNDS, "early_stopping": False}, train)
        for rounds, answers in enumerate(model.staged_predict_proba(inputs), 1):
            if rounds % 25 == 0:
                settings = {**drawn, "max_iter": rounds, "early_stopping": False}
                found.append((log_loss(labels, answers[:, 1]), settings))
    best = fitted(min(found, key=lambda each: each[0])[1], known)
    return lambda rows: np.asarray(best.predict_proba(matrix(rows))[:, 1])


def support_vectors(workload: Workload, known: pa.Table) -> Answers:
    """scikit-learn's SVC with its defaults on scaled numbers, calibrated by cross-validation."""
    preparation = Preparation.fit(known, workload.columns)

    def matrix(rows: pa.Table) -> NDArray[np.float32]:
        return encode(preparation.prepare(rows))[COLUMNS].nan_to_num().numpy()

    model = make_pipeline(StandardScaler(), CalibratedClassifierCV(SVC(), ensemble=False))
    model.fit(matrix(known), known["label"].to_numpy())
    return lambda rows: np.asarray(model.predict_proba(matrix(rows))[:, 1])


def words(
    workload: Workload, known: pa.Table, *, strengths: Sequence[float] = (1.0,), with_parts: bool = False
) -> Answers:
    """scikit-learn's logistic regression on TF-IDF of words and pairs, and of runs of two to five letters with
    `with_parts`; of several strengths the best on later rows.
    """
    (name,) = [column.name for column in workload.columns]
    train, later = split_by_time(known, share=workload.training.validation_share)

    def fitted(strength: float, rows: pa.Table) -> Answers:
        seen: Any = TfidfVectorizer(ngram_range=(1, 2))
        if with_parts:
            seen = make_union(seen, TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5)))
        model = make_pipeline(seen, LogisticRegression(C=strength, max_iter=1000))
        model.fit(rows[name].to_pylist(), rows["label"].to_numpy())
        return lambda asked: np.asarray(model.predict_proba(asked[name].to_pylist())[:, 1])

    losses = [log_loss(later["label"].to_numpy(), fitted(strength, train)(later)) for strength in strengths]
    return fitted(strengths[int(np.argmin(losses))], known)


def constant(_: Workload, known: pa.Table) -> Answers:
    """The share of ones among the rows to learn from."""
    rate = pc.mean(known["label"]).as_py()
    return lambda rows: np.full(rows.num_rows, rate)


def lightgbm(workload: Workload, known: pa.Table, *, is_tuned: bool = False) -> Answers:
    """LightGBM; its defaults, or the best of a random search with early stopping on the newest tenth, fitted again."""
    import lightgbm as library  # an environment of benchmarks has it, the project does not

    preparation = Preparation.fit(known, workload.columns)
    codes = [place for place, kind in enumerate(column_types(preparation)) if kind == "c"]

    def data(rows: pa.Table) -> tuple[Any, NDArray[np.float64]]:
        return encode(preparation.prepare(rows))[COLUMNS].numpy(), rows["label"].to_numpy()

    def fitted(settings: dict[str, Any], rows: pa.Table) -> Any:
        model = library.LGBMClassifier(**settings, n_jobs=1, random_state=0, verbose=-1)
        return model.fit(*data(rows), categorical_feature=codes)

    settings: dict[str, Any] = {}
    if is_tuned:
        settings = _searched(fitted, data, *split_by_time(known, share=workload.training.validation_share))
    model = fitted(settings, known)
    return lambda rows: np.asarray(
        model.predict_proba(encode(preparation.prepare(rows))[COLUMNS].numpy())[:, 1], np.float64
    )


def drawn_lightgbm(random: np.random.Generator) -> dict[str, Any]:
    """Settings of LightGBM, drawn from where good ones usually are."""
    return {
        "num_leaves": int(random.integers(8, 128)),
        "learning_rate": float(np.exp(random.uniform(np.log(0.02), np.log(0.2)))),
        "min_child_samples": int(random.integers(5, 100)),
        "subsample": float(random.uniform(0.6, 1)),
        "subsample_freq": 1,
        "colsample_bytree": float(random.uniform(0.4, 1)),
    }


def _searched(fitted: Any, data: Any, train: pa.Table, later: pa.Table) -> dict[str, Any]:
    random = np.random.default_rng(1)
    found: list[tuple[float, dict[str, Any]]] = []
    inputs, labels = data(later)
    for _ in range(NUM_DRAWS):
        drawn = {**drawn_lightgbm(random), "reg_lambda": float(np.exp(random.uniform(-4, 3)))}
        model = fitted({**drawn, "n_estimators": 400}, train)
        for rounds in (50, 100, 200, 300, 400):
            answers = model.predict_proba(inputs, num_iteration=rounds)[:, 1]
            found.append((log_loss(labels, answers), {**drawn, "n_estimators": rounds}))
    return min(found, key=lambda each: each[0])[1]
