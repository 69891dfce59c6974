"""Boosted trees as a second kind of model: the same preparation, calibration, bundle and answers as a network."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from heliostat import Number, Text, Trees, Workload
from heliostat.check import check
from heliostat.columns import normalise
from heliostat.errors import BundleError, TrainingError, WorkloadError
from heliostat.learn.bundle import ServedModel, served, to_files
from heliostat.learn.fit import fit
from heliostat.learn.fit_trees import fit_trees, refit_trees
from heliostat.learn.rows import split_by_time
from heliostat.learn.start import Start
from heliostat.learn.tabular import auto
from heliostat.metrics import log_loss
from tests import toy, toy_trees
from tests.toy_rows import labelled_rows, lake_rows
from tests.toy_trees import workload

LATER = normalise(lake_rows("2024-04", rows_per_part=300), workload.columns)


@pytest.fixture(scope="module")
def parts():
    return split_by_time(labelled_rows("2024-01", "2024-02", rows_per_part=600), share=0.2)


@pytest.fixture(scope="module")
def fitted(parts):
    return fit_trees(workload, *parts, seed=1)


@pytest.fixture(scope="module")
def files(fitted):
    return to_files("tests.toy_trees", fitted, profile={}, lineage={})


def trees_only():
    given = {name: getattr(workload, name) for name in ("name", "source", "key", "event_time", "due_time")}
    return Workload(
        **given, label_time=workload.label_time, columns=workload.columns, label=workload.label, trees=Trees()
    )


def test_the_same_seed_gives_the_same_trees_and_another_seed_others(parts, fitted):
    assert fit_trees(workload, *parts, seed=1).trees == fitted.trees
    assert fit_trees(workload, *parts, seed=2).trees != fitted.trees


def test_the_order_of_the_rows_and_the_number_of_threads_change_nothing_that_is_answered(parts, fitted):
    shuffled = [part.take(np.random.default_rng(3).permutation(part.num_rows)) for part in parts]
    assert fit_trees(workload, *shuffled, seed=1).trees == fitted.trees
    threaded = fit_trees(replace(workload, trees=replace(workload.trees, threads=2)), *parts, seed=1)
    assert np.allclose(served(workload, threaded).logits(LATER), served(workload, fitted).logits(LATER), atol=1e-5)


def test_as_many_trees_are_kept_as_did_best_on_later_rows(fitted):
    losses = [scores.validation_loss for scores in fitted.history]
    assert fitted.best_epoch == losses.index(min(losses))
    assert fitted.best_epoch < len(losses) <= fitted.best_epoch + 1 + workload.trees.patience
    assert len(json.loads(fitted.trees)["learner"]["gradient_booster"]["model"]["trees"]) == fitted.best_epoch + 1


def test_trees_beat_the_constant_on_later_rows(parts, fitted):
    later = labelled_rows("2024-03")
    labels = later["label"].to_numpy()
    constant = log_loss(labels, np.full(len(labels), fitted.constant))
    assert log_loss(labels, served(workload, fitted).answers(later)) < constant - 0.03


def test_a_refit_boosts_as_many_trees_on_all_rows(parts, fitted):
    rows = pa.concat_tables(parts)
    again = refit_trees(workload, rows, num_rounds=7, calibration=fitted.calibration, seed=1)
    assert (again.num_rows, again.calibration, again.best_epoch) == (rows.num_rows, fitted.calibration, 6)
    assert len(json.loads(again.trees)["learner"]["gradient_booster"]["model"]["trees"]) == 7


def test_a_bundle_of_trees_has_no_weights_and_answers_as_the_fit_that_it_was_made_from(fitted, files):
    assert "trees.json" in files
    assert "weights.safetensors" not in files
    assert json.loads(files["model.json"])["kind"] == "trees"
    assert json.loads(files["lineage.json"])["xgboost"]
    model = ServedModel.load(files)
    assert np.array_equal(model.answers(LATER), served(workload, fitted).answers(LATER))
    assert model.num_bytes == len(fitted.trees)
    model.warm()
    assert not len(model.answers(LATER.slice(0, 0)))


def test_a_row_is_encoded_and_answered_alike_to_the_last_bit_alone_and_in_a_batch(files):
    model = ServedModel.load(files)
    batch, logits = model.encode(LATER)["columns"], model.logits(LATER)
    for row in range(0, LATER.num_rows, 37):
        alone = LATER.slice(row, 1)
        assert torch.equal(model.encode(alone)["columns"].nan_to_num(-1), batch[row : row + 1].nan_to_num(-1))
        assert model.logits(alone)[0] == logits[row]


def test_many_threads_get_the_answers_of_one(files):
    model = ServedModel.load(files)
    expected = model.answers(LATER)
    with ThreadPoolExecutor(8) as pool:
        assert all(np.array_equal(each, expected) for each in pool.map(lambda _: model.answers(LATER), range(40)))


def test_a_network_and_trees_of_one_workload_answer_side_by_side(parts, files):
    network = fit(workload, *parts, seed=1)
    loaded = [ServedModel.load(to_files("tests.toy_trees", network, profile={}, lineage={})), ServedModel.load(files)]
    first, second = (model.answers(LATER) for model in loaded)
    assert np.array_equal(first, served(workload, network).answers(LATER))
    assert not np.array_equal(first, second)
    assert np.array_equal(loaded[1].answers(LATER), second)


@pytest.mark.parametrize("change", [lambda old: b"torn", lambda old: old[: len(old) // 2], lambda old: b"\xff" + old])
def test_torn_trees_are_refused_and_the_process_lives(files, change):
    with pytest.raises(BundleError, match=r"trees.json cannot be read .*fetch the bundle again"):
        ServedModel.load({**files, "trees.json": change(files["trees.json"])})


def test_trees_that_a_bundle_lacks_are_named(files):
    with pytest.raises(BundleError, match=r"lacks trees\.json"):
        ServedModel.load({path: content for path, content in files.items() if path != "trees.json"})


def test_a_new_level_an_empty_and_a_constant_column_are_answered(parts):
    def flattened(part):
        flat = part.set_column(part.column_names.index("load_percent"), "load_percent", [[50.0] * part.num_rows])
        empty = pa.nulls(part.num_rows, pa.float64())
        return flat.set_column(flat.column_names.index("temperature_c"), "temperature_c", empty)

    model = served(workload, fit_trees(workload, *map(flattened, parts), seed=1))
    rows = LATER.slice(0, 2).set_column(2, "site", [["never seen", None]])
    assert np.isfinite(model.answers(rows)).all()


def test_trees_are_refused_the_rows_that_a_network_is_refused(parts):
    with pytest.raises(TrainingError, match="both 0 and 1 must occur"):
        fit_trees(workload, parts[0].filter(pa.compute.equal(parts[0]["label"], 0.0)), parts[1], seed=1)
    with pytest.raises(TrainingError, match="before training rows end"):
        fit_trees(workload, parts[1], parts[0], seed=1)


def test_a_number_too_large_for_trees_names_its_row(parts):
    values = parts[0]["load_percent"].to_numpy().copy()
    values[3] = 1e39
    odd = parts[0].set_column(parts[0].column_names.index("load_percent"), "load_percent", pa.array(values))
    wide = replace(workload, columns=(Number("load_percent", 0, 1e300), *workload.columns[1:]))
    key = odd["key"][3].as_py()
    with pytest.raises(TrainingError, match=rf"^load_percent of the row with key '{key}' at \S+ is 1e\+39, and trees"):
        fit_trees(wide, odd, parts[1], seed=1)


def test_what_xgboost_refuses_is_one_sentence(parts, fitted):
    torn = Start(preparation=fitted.preparation, trees=b"torn")
    with pytest.raises(TrainingError, match=r"^The trees of '[\w-]+' cannot be boosted: XGBoost says [^\n]+$"):
        fit_trees(workload, *parts, seed=1, start=torn)


def test_texts_alone_are_no_columns_for_trees():
    note = Text("note")
    with pytest.raises(WorkloadError, match="has texts alone; leave trees out"):
        replace(trees_only(), columns=(note,))
    assert replace(toy.workload, columns=(note,), **auto([note])).kinds == ("network",)


def test_a_workload_needs_no_network_where_it_has_trees():
    only = trees_only()
    assert (only.kinds, workload.kinds) == (("trees",), ("trees", "network"))
    check(only)
    with pytest.raises(WorkloadError, match="trees alone"):
        only.encode({})
    with pytest.raises(WorkloadError, match="declares no model"):
        replace(only, trees=None)
    with pytest.raises(WorkloadError, match="declares no trees"):
        fit_trees(
            replace(workload, trees=None),
            *split_by_time(labelled_rows("2024-01", rows_per_part=200), share=0.2),
            seed=1,
        )
    assert toy_trees.workload is workload


@pytest.mark.parametrize("given", [{"rounds": 0}, {"learning_rate": 0}, {"row_share": 1.5}, {"column_share": 0}])
def test_trees_that_cannot_be_are_refused(given):
    with pytest.raises(WorkloadError, match="must"):
        Trees(**given)
