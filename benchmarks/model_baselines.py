"""The baselines of `benchmarks.models` that are no model of ours, for labels of every kind.

Each is fitted from the same rows, the newest of which choose its settings. Of a quantity a baseline answers the value.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from benchmarks.model_kinds import NUM_DRAWS, Answers
from heliostat import Workload
from heliostat.learn.prepare import Preparation
from heliostat.learn.rows import split_by_time
from heliostat.learn.trees import COLUMNS, column_types, encode
from heliostat.metrics import log_loss
from heliostat.tasks import Task
from jobs._simulation_learner import Trees as ScikitTrees

Values = NDArray[np.float64]
MOST_ROUNDS = 400
MOST_CODES = 255  # that scikit-learn's trees take of a category; levels beyond count as unknown


def shaped(task: Task, classes: NDArray[Any], probabilities: NDArray[Any]) -> Values:
    """Probabilities of the `classes` that were learned from, in the shape of the task: of those never seen, none."""
    if not task.shape:
        return np.asarray(probabilities[:, 1], np.float64)
    found = np.zeros((len(probabilities), *task.shape))
    found[:, classes.astype(np.int64)] = probabilities
    return found


def said(task: Task, model: Any, inputs: NDArray[Any], **options: Any) -> Values:
    """The answers of a model with scikit-learn's methods; of a quantity the values alone."""
    if task.kind == "quantity":
        return np.asarray(model.predict(inputs, **options), np.float64)
    return shaped(task, model.classes_, np.asarray(model.predict_proba(inputs, **options)))


def scikit(workload: Workload, known: pa.Table) -> Answers:
    """scikit-learn's HistGradientBoosting with its defaults."""
    return ScikitTrees(workload.columns, task=workload.task).fit(known, known["label"].to_numpy()).answers


def tuned_scikit(workload: Workload, known: pa.Table) -> Answers:
    """scikit-learn's HistGradientBoosting, the best of a random search on the newest tenth, fitted again."""
    preparation, task = Preparation.fit(known, workload.columns), workload.task
    is_code = np.array([kind == "c" for kind in column_types(preparation)])
    kind: Any = HistGradientBoostingRegressor if task.kind == "quantity" else HistGradientBoostingClassifier

    def matrix(rows: pa.Table) -> NDArray[np.float32]:
        found = encode(preparation.prepare(rows))[COLUMNS].numpy()
        return np.where(is_code & (found >= MOST_CODES), 0, found)

    def fitted(settings: dict[str, Any], rows: pa.Table) -> Any:
        model = kind(**settings, early_stopping=False, categorical_features=is_code, random_state=0)
        return model.fit(matrix(rows), rows["label"].to_numpy())

    train, later = split_by_time(known, share=workload.training.validation_share)
    inputs, labels = matrix(later), later["label"].to_numpy()
    random = np.random.default_rng(1)
    found: list[tuple[float, dict[str, Any]]] = []
    for _ in range(NUM_DRAWS):
        drawn = drawn_scikit(random)
        model = fitted({**drawn, "max_iter": MOST_ROUNDS}, train)
        of_kind = task.kind == "quantity"
        for rounds, answers in enumerate((model.staged_predict if of_kind else model.staged_predict_proba)(inputs), 1):
            if rounds % 25 == 0:
                told = answers if of_kind else shaped(task, model.classes_, answers)
                found.append((task.loss(labels, told), {**drawn, "max_iter": rounds}))
    best = fitted(min(found, key=lambda each: each[0])[1], known)
    return lambda rows: said(task, best, matrix(rows))


def drawn_scikit(random: np.random.Generator) -> dict[str, Any]:
    """Settings of HistGradientBoosting, drawn from where good ones usually are."""
    return {
        "max_leaf_nodes": int(random.integers(8, 128)),
        "learning_rate": float(np.exp(random.uniform(np.log(0.02), np.log(0.2)))),
        "min_samples_leaf": int(random.integers(5, 100)),
        "max_features": float(random.uniform(0.4, 1)),
        "l2_regularization": float(np.exp(random.uniform(-4, 3))),
    }


def lightgbm(workload: Workload, known: pa.Table, *, is_tuned: bool = False) -> Answers:
    """LightGBM; its defaults, or the best of a random search on the newest tenth, fitted again."""
    import lightgbm as library  # an environment of benchmarks has it, the project does not

    preparation, task = Preparation.fit(known, workload.columns), workload.task
    codes = [place for place, kind in enumerate(column_types(preparation)) if kind == "c"]
    kind: Any = library.LGBMRegressor if task.kind == "quantity" else library.LGBMClassifier

    def matrix(rows: pa.Table) -> NDArray[np.float32]:
        return encode(preparation.prepare(rows))[COLUMNS].numpy()

    def fitted(settings: dict[str, Any], rows: pa.Table) -> Any:
        model = kind(**settings, n_jobs=1, random_state=0, verbose=-1)
        return model.fit(matrix(rows), rows["label"].to_numpy(), categorical_feature=codes)

    settings: dict[str, Any] = {}
    if is_tuned:
        train, later = split_by_time(known, share=workload.training.validation_share)
        settings = _searched(fitted, matrix, task, train, later)
    model = fitted(settings, known)
    return lambda rows: said(task, model, matrix(rows))


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


def _searched(
    fitted: Callable[[dict[str, Any], pa.Table], Any],
    matrix: Callable[[pa.Table], NDArray[np.float32]],
    task: Task,
    train: pa.Table,
    later: pa.Table,
) -> dict[str, Any]:
    random = np.random.default_rng(1)
    found: list[tuple[float, dict[str, Any]]] = []
    inputs, labels = matrix(later), later["label"].to_numpy()
    for _ in range(NUM_DRAWS):
        drawn = {**drawn_lightgbm(random), "reg_lambda": float(np.exp(random.uniform(-4, 3)))}
        model = fitted({**drawn, "n_estimators": 400}, train)
        for rounds in (50, 100, 200, 300, 400):
            loss = task.loss(labels, said(task, model, inputs, num_iteration=rounds))
            found.append((loss, {**drawn, "n_estimators": rounds}))
    return min(found, key=lambda each: each[0])[1]


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
