"""Networks and trees for classes and quantities: fitted, calibrated, bundled, and the same after the way back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from heliostat import AtMost, Binary, Classes, NoWorseThanChampion, Quantity
from heliostat.check import check
from heliostat.errors import TrainingError, WorkloadError
from heliostat.intake import take
from heliostat.learn import bundle
from heliostat.learn.calibrate import Calibration
from heliostat.learn.calibrate_classes import ClassesCalibration, softmax
from heliostat.learn.calibrate_quantity import QuantityCalibration
from heliostat.learn.fit import fit, refit
from heliostat.learn.fit_trees import fit_trees, refit_trees
from heliostat.learn.rows import split_by_time
from heliostat.metrics import accuracy, auc, log_loss, mse, r2
from heliostat.tasks import repeated
from tests import toy, toy_kinds

LATER = datetime(2200, 1, 1, tzinfo=UTC)
NONE_YET = {"profile": {}, "lineage": {}}
MODULE_BY_NAME = {"wear": "tests.toy_wear", "cause": "tests.toy_cause"}


def rows_of(workload):
    parts = [workload.source.read(part) for part in workload.source.parts()[:4]]
    table = take(workload, pa.concat_tables(parts), since=None, until=LATER).good
    return table.filter(table["label"].is_valid())


@pytest.fixture(scope="module", params=["wear", "cause"])
def asked(request):
    workload = getattr(toy_kinds, request.param)
    return workload, *split_by_time(rows_of(workload), share=0.25)


@pytest.mark.parametrize("kind", ["network", "trees"])
def test_a_model_of_any_kind_of_label_beats_the_constant_and_survives_its_bundle(asked, kind):
    workload, train, validation = asked
    task, labels = workload.task, validation["label"].to_numpy()
    if kind == "trees":
        workload = replace(workload, trees=toy_kinds.trees)
        fitted = fit_trees(workload, train, validation, seed=1)
    else:
        fitted = fit(workload, train, validation, seed=1)
    answers = bundle.served(workload, fitted).answers(validation)
    assert answers.shape == (validation.num_rows, *task.shape)
    assert task.loss(labels, answers) < 0.8 * task.loss(labels, repeated(fitted.constant, len(labels)))
    files = bundle.to_files(MODULE_BY_NAME[workload.name], fitted, **NONE_YET)
    again = bundle.ServedModel.load(files)
    again.warm()
    assert np.array_equal(again.answers(validation), answers)
    assert bundle.constant_of(again.lineage) == pytest.approx(fitted.constant)


def test_a_fit_without_anything_held_back_keeps_the_calibration(asked):
    workload, train, validation = asked
    fitted = fit(workload, train, validation, seed=1)
    rows = pa.concat_tables([train, validation])
    network = refit(workload, rows, num_epochs=2, calibration=fitted.calibration, seed=1)
    units = ("centre", "scale") if workload is toy_kinds.wear else ()  # of a quantity they are those of its own labels
    own = {name: getattr(network.calibration, name) for name in units}
    assert network.calibration == replace(fitted.calibration, **own)
    trees = replace(workload, trees=toy_kinds.trees)
    boosted = refit_trees(trees, rows, num_rounds=3, calibration=fitted.calibration, seed=1)
    assert bundle.served(trees, boosted).answers(validation).shape == (validation.num_rows, *workload.task.shape)


def test_where_a_quantity_moved_a_fit_with_nothing_held_back_answers_at_the_level_of_all_its_rows():
    workload = replace(toy_kinds.wear, trees=toy_kinds.trees)
    train, validation = split_by_time(rows_of(workload), share=0.25)
    place = validation.column_names.index("label")
    validation = validation.set_column(place, "label", pc.multiply(pc.add(validation["label"], 1000.0), 2.0))
    rows = pa.concat_tables([train, validation])
    labels = rows["label"].to_numpy()
    judged = {
        "network": fit(workload, train, validation, seed=1),
        "trees": fit_trees(workload, train, validation, seed=1),
    }
    again = {
        "network": refit(workload, rows, num_epochs=8, calibration=judged["network"].calibration, seed=1),
        "trees": refit_trees(workload, rows, num_rounds=30, calibration=judged["trees"].calibration, seed=1),
    }
    for kind, fitted in again.items():
        answers = bundle.served(workload, fitted).answers(rows)
        assert answers[:, 0].mean() == pytest.approx(labels.mean(), abs=0.1 * labels.std()), kind
        assert fitted.calibration.deviation == judged[kind].calibration.deviation


def test_what_was_calibrated_for_probabilities_is_refused_for_a_quantity():
    with pytest.raises(TrainingError, match="A Calibration makes no quantity"):
        refit(toy_kinds.wear, rows_of(toy_kinds.wear), num_epochs=1, calibration=Calibration(), seed=1)


def test_the_interval_of_a_quantity_holds_about_the_share_that_was_declared():
    workload = toy_kinds.wear
    train, later = split_by_time(rows_of(workload), share=0.5)
    validation, unseen = split_by_time(later, share=0.5)
    answers = bundle.served(workload, fit(workload, train, validation, seed=1)).answers(unseen)
    labels = unseen["label"].to_numpy()
    inside = ((answers[:, 1] <= labels) & (labels <= answers[:, 2])).mean()
    assert inside == pytest.approx(0.9, abs=0.06)
    assert answers[:, 3].mean() == pytest.approx(np.sqrt(mse(labels, answers)), rel=0.25)
    assert r2(labels, answers) > 0.8


def test_a_quantity_far_from_zero_is_learned_as_well_as_one_near_it():
    workload = toy_kinds.wear
    near = split_by_time(rows_of(workload), share=0.3)
    far = [part.set_column(part.column_names.index("label"), "label", pc.add(part["label"], 1.7e9)) for part in near]
    losses = [fit(workload, *parts, seed=1).history[-1].validation_loss for parts in (near, far)]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_a_quantity_is_answered_within_its_bounds():
    outputs = np.linspace(-3, 3, 50)
    fitted = QuantityCalibration.fit(outputs, 5 * outputs, label=Quantity("q", low=-4, high=9), centre=0.0, scale=5.0)
    answers = fitted.answers(outputs)
    assert answers[:, :3].min() == -4
    assert answers[:, :3].max() == 9
    assert (answers[:, 1] <= answers[:, 0]).all()
    assert (answers[:, 0] <= answers[:, 2]).all()
    assert QuantityCalibration.from_json(fitted.to_json()) == fitted


def test_logits_that_are_too_sure_are_tempered_and_right_ones_left_alone():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(20_000, 3))
    labels = (generator.random(20_000)[:, None] > softmax(logits).cumsum(axis=1)).sum(axis=1).astype(float)
    assert ClassesCalibration.fit(3 * logits, labels).scale == pytest.approx(1 / 3, rel=0.08)
    assert ClassesCalibration.fit(logits, labels).scale == pytest.approx(1.0, rel=0.05)
    assert ClassesCalibration.fit(3 * logits[:5], labels[:5]).scale == pytest.approx(1.0, abs=0.1)
    assert ClassesCalibration.fit(logits[:0], labels[:0]).scale == 1.0
    fitted = ClassesCalibration.fit(3 * logits, labels)
    assert log_loss(labels, fitted.answers(3 * logits)) < log_loss(labels, softmax(3 * logits))
    assert ClassesCalibration.from_json(fitted.to_json()) == fitted


def test_a_source_of_any_kind_is_checked_all_the_way_to_outputs(asked):
    check(asked[0])


def test_a_network_with_one_output_for_three_classes_is_refused():
    with pytest.raises((WorkloadError, TrainingError), match="one logit a row for each of 3 classes"):
        check(replace(toy_kinds.cause, model=toy.model))


def test_a_row_whose_label_is_none_of_its_kind_is_set_aside_with_the_reason():
    workload = toy_kinds.cause
    table = workload.source.read("2024-01").slice(0, 5)
    place = table.schema.get_field_index("cause")
    table = table.set_column(place, "cause", pa.array(["heat", "rust", "none", None, "cold"]))
    table = table.set_column(
        table.schema.get_field_index("checked_at"), "checked_at", table["read_at"].combine_chunks()
    )
    found = take(workload, table, since=None, until=LATER)
    assert found.good["label"].to_pylist() == [1.0, 0.0, None, 2.0]
    assert found.rejected["reason"].to_pylist() == ["label 'cause' must be one of 'none', 'heat', 'cold'; got 'rust'"]
    assert found.rejected["label"].to_pylist() == [None]


def test_labels_that_are_all_alike_teach_nothing(asked):
    workload, train, validation = asked
    place = train.schema.get_field_index("label")
    alike = train.set_column(place, "label", pa.array(np.ones(train.num_rows)))
    with pytest.raises(TrainingError, match="at least two different ones must occur"):
        fit(workload, alike, validation, seed=1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"label": Quantity("y"), "gates": (NoWorseThanChampion(log_loss),)}, "log_loss, which says nothing of its"),
        ({"label": Quantity("y"), "metrics": (auc,)}, "auc, which says nothing of its label"),
        ({"label": Classes("y", values=("a", "b")), "gates": (AtMost(mse, 1.0),)}, "mse, which says nothing"),
        ({"label": Binary("y"), "metrics": (mse,)}, "mse, which says nothing of its label"),
        ({"label": Binary("y"), "metrics": (accuracy,)}, None),
    ],
)
def test_a_workload_is_judged_by_what_fits_its_label(changes, said):
    plain = {"metrics": None, "gates": None, "retrain_on": (toy.Age(timedelta(days=9)),)} | changes
    if said is None:
        assert replace(toy.workload, **plain).metrics == (accuracy,)
    else:
        with pytest.raises(WorkloadError, match=said):
            replace(toy.workload, **plain)


def test_what_is_left_out_is_by_the_kind_of_label():
    assert [gate.metric for gate in toy_kinds.wear.gates] == [mse, mse]
    assert [gate.metric for gate in toy_kinds.cause.gates] == [log_loss, log_loss]
    assert r2 in toy_kinds.wear.scored_by
    assert auc not in toy_kinds.cause.scored_by
