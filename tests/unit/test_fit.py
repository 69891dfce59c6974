import random
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from heliostat.errors import TrainingError
from heliostat.learn.bundle import served
from heliostat.learn.fit import fit
from heliostat.learn.prepare import UNKNOWN_CODE
from heliostat.learn.rows import split_by_time
from heliostat.learn.state import FitState
from heliostat.metrics import log_loss
from tests.toy import encode, workload
from tests.toy_rows import labelled_rows, lake_rows

QUICK = replace(workload, training=replace(workload.training, epochs=3))


@pytest.fixture(scope="module")
def parts():
    return split_by_time(labelled_rows("2024-01", "2024-02", rows_per_part=600), share=0.2)


def same_weights(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_the_same_seed_gives_the_same_network_and_another_seed_another(parts):
    first, again, other = fit(QUICK, *parts, seed=1), fit(QUICK, *parts, seed=1), fit(QUICK, *parts, seed=2)
    assert same_weights(first.weights, again.weights)
    assert first.calibration == again.calibration
    assert not same_weights(first.weights, other.weights)


def scatter(seed):
    """The caller's own generators, as they may stand."""
    random.seed(seed)
    np.random.seed(seed)


def test_what_a_workloads_own_code_draws_follows_from_the_seed_too(parts):
    def noisy(batch):
        encoded = encode(batch)
        drawn = np.random.normal(size=encoded["numbers"].shape) + random.random()
        return {**encoded, "numbers": encoded["numbers"] + torch.from_numpy(drawn.astype(np.float32))}

    drawing = replace(QUICK, encode=noisy)
    scatter(7)
    before = random.getstate(), np.random.get_state()[1].tolist()
    first = fit(drawing, *parts, seed=1)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    scatter(8)
    assert same_weights(first.weights, fit(drawing, *parts, seed=1).weights)


def test_the_order_of_the_rows_changes_nothing(parts):
    shuffled = [part.take(np.random.default_rng(3).permutation(part.num_rows)) for part in parts]
    ordered, unordered = fit(QUICK, *parts, seed=1), fit(QUICK, *shuffled, seed=1)
    assert same_weights(ordered.weights, unordered.weights)
    assert ordered.history == unordered.history


@pytest.mark.parametrize("num_epochs", [1, 2, 3])
def test_a_resumed_fit_ends_with_the_same_bits(parts, num_epochs):
    states = []
    whole = fit(QUICK, *parts, seed=1, on_epoch=lambda state: states.append(state.to_bytes()))
    resumed = fit(QUICK, *parts, seed=1, resume=FitState.from_bytes(states[num_epochs - 1]))
    assert same_weights(whole.weights, resumed.weights)
    assert (whole.history, whole.calibration) == (resumed.history, resumed.calibration)


def test_only_the_epochs_that_are_left_run_after_a_resume(parts):
    states = []
    fit(QUICK, *parts, seed=1, on_epoch=states.append)
    later = []
    fit(QUICK, *parts, seed=1, resume=states[0], on_epoch=later.append)
    assert [state.num_epochs for state in later] == [2, 3]


def test_a_checkpoint_of_other_rows_or_another_seed_is_refused(parts):
    states = []
    fit(QUICK, *parts, seed=1, on_epoch=states.append)
    with pytest.raises(TrainingError, match="other rows, settings or another seed"):
        fit(QUICK, *parts, seed=2, resume=states[0])
    with pytest.raises(TrainingError, match="other rows, settings or another seed"):
        fit(QUICK, parts[0].slice(1), parts[1], seed=1, resume=states[0])


def test_a_broken_checkpoint_is_refused():
    with pytest.raises(TrainingError, match="cannot be read"):
        FitState.from_bytes(b"torn")


def test_the_epoch_with_the_lowest_validation_loss_wins(parts):
    states = []
    fitted = fit(workload, *parts, seed=1, on_epoch=states.append)
    losses = [scores.validation_loss for scores in fitted.history]
    assert fitted.best_epoch == losses.index(min(losses))
    assert same_weights(fitted.weights, states[fitted.best_epoch].weights)


def test_a_network_beats_the_constant_on_later_rows(parts):
    later = labelled_rows("2024-03")
    fitted = fit(workload, *parts, seed=0)
    labels = later["label"].to_numpy()
    constant = log_loss(labels, np.full(len(labels), fitted.constant))
    assert log_loss(labels, served(workload, fitted).answers(later)) < constant - 0.03


def test_the_code_for_unknown_levels_is_trained_even_when_training_saw_none(parts):
    fitted = fit(QUICK, *parts, seed=1)
    assert served(QUICK, fitted).unknown_counts(parts[0]) == {"site": 0}
    torch.manual_seed(1)
    fresh = QUICK.model(fitted.preparation.sizes).state_dict()["site.weight"][UNKNOWN_CODE]
    moved = (fitted.weights["site.weight"][UNKNOWN_CODE] - fresh).abs()
    assert moved.min() > 1e-3


def test_constant_and_empty_columns_do_not_break_a_fit(parts):
    def flattened(part):
        flat = part.set_column(part.column_names.index("load_percent"), "load_percent", [[50.0] * part.num_rows])
        empty = pa.nulls(part.num_rows, pa.float64())
        return flat.set_column(flat.column_names.index("temperature_c"), "temperature_c", empty)

    fitted = fit(QUICK, *map(flattened, parts), seed=1)
    assert np.isfinite(served(QUICK, fitted).answers(parts[1])).all()


def test_the_random_numbers_of_the_caller_stay_as_they_are(parts):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(QUICK, *parts, seed=1)
    assert torch.equal(torch.rand(3), expected)


def test_a_loss_that_is_not_a_number_ends_the_fit_with_one_sentence(parts):
    def broken(batch):
        return {**encode(batch), "numbers": encode(batch)["numbers"] * float("nan")}

    with pytest.raises(TrainingError, match=r"In epoch 1 the loss became nan: encode gives nan in 'numbers'"):
        fit(replace(QUICK, encode=broken), *parts, seed=1)


def test_a_network_of_the_wrong_shape_is_told_so(parts):
    class Wide(torch.nn.Linear):
        def forward(self, encoded):
            return super().forward(encoded["numbers"])

    with pytest.raises(TrainingError, match=r"gave \(\d+, 1\).*squeeze"):
        fit(replace(QUICK, model=lambda sizes: Wide(3, 1)), *parts, seed=1)


def test_one_class_alone_is_refused(parts):
    train = parts[0].filter(pa.compute.equal(parts[0]["label"], 0.0))
    with pytest.raises(TrainingError, match="both 0 and 1 must occur"):
        fit(QUICK, train, parts[1], seed=1)


def test_rows_without_a_label_are_refused():
    train, validation = lake_rows("2024-01"), labelled_rows("2024-02")
    with pytest.raises(TrainingError, match="have no label"):
        fit(QUICK, train, validation, seed=1)


def test_no_rows_are_refused(parts):
    with pytest.raises(TrainingError, match="no validation rows"):
        fit(QUICK, parts[0], parts[1].slice(0, 0), seed=1)


def test_validation_before_the_end_of_training_is_refused(parts):
    with pytest.raises(TrainingError, match="before training rows end"):
        fit(QUICK, parts[1], parts[0], seed=1)


def test_a_split_by_time_keeps_every_row_and_never_cuts_an_instant(parts):
    rows = parts[0]
    at = rows["event_at"].to_pylist()
    doubled = pa.concat_tables([rows, rows])
    earlier, later = split_by_time(doubled, share=0.25)
    assert earlier.num_rows + later.num_rows == doubled.num_rows
    assert max(earlier["event_at"].to_pylist()) < min(later["event_at"].to_pylist())
    assert later.num_rows == pytest.approx(len(at) / 2, abs=2)


def test_rows_of_one_instant_cannot_be_split(parts):
    with pytest.raises(TrainingError, match="same event time"):
        split_by_time(pa.concat_tables([parts[0].slice(0, 1)] * 4), share=0.5)
