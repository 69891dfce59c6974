"""What Training's options promise: the same network whichever way it is reached."""

from dataclasses import replace

import pytest
import torch

from heliostat import Training
from heliostat.errors import WorkloadError
from heliostat.learn import parallel
from heliostat.learn.epochs import Learner
from heliostat.learn.examples import Examples
from heliostat.learn.fit import fit, refit
from heliostat.learn.objective import BinaryObjective
from heliostat.learn.prepare import Preparation
from heliostat.learn.rows import ordered, split_by_time
from heliostat.learn.shares import InMemory
from heliostat.learn.state import FitState
from tests.toy import workload
from tests.toy_rows import labelled_rows


def with_training(**options):
    return replace(workload, training=replace(workload.training, epochs=3, **options))


@pytest.fixture(scope="module")
def parts():
    return split_by_time(labelled_rows("2024-01", "2024-02", rows_per_part=600), share=0.2)


class Killed(BaseException):
    """The process is gone."""


def killed_after(parts, own, num_states: int) -> FitState:
    """What a fit leaves that is killed after so many checkpoints."""
    kept = []

    def keep(state):
        kept.append(state.to_bytes())
        if len(kept) == num_states:
            raise Killed

    with pytest.raises(Killed):
        fit(own, *parts, seed=1, on_epoch=keep)
    return FitState.from_bytes(kept[-1])


def test_a_fit_killed_at_any_checkpoint_inside_an_epoch_ends_with_the_same_bits(parts):
    own = with_training(checkpoint_steps=3)
    states = []
    whole = fit(own, *parts, seed=1, on_epoch=states.append)
    inside = [number for number, state in enumerate(states, start=1) if state.num_steps]
    assert len(inside) >= 6
    assert {states[number - 1].num_steps % 3 for number in inside} == {0}
    for number in inside:
        resumed = fit(own, *parts, seed=1, resume=killed_after(parts, own, number))
        assert all(torch.equal(whole.weights[name], resumed.weights[name]) for name in whole.weights)
        assert whole.history == resumed.history


def test_a_fit_that_goes_on_inside_an_epoch_does_not_do_the_batches_before_again(parts):
    own = with_training(checkpoint_steps=3)
    state = killed_after(parts, own, 2)
    steps, steps_after = [], []
    fit(own, *parts, seed=1, on_step=steps.append)
    fit(own, *parts, seed=1, resume=state, on_step=steps_after.append)
    assert state.num_steps == 6
    assert [step.number for step in steps_after] == [step.number for step in steps[6:]]


def test_a_fit_goes_on_inside_an_epoch_with_the_same_bits_where_encode_draws_at_random(parts):
    def blurred(batch):
        encoded = workload.encode(batch)
        return {**encoded, "numbers": encoded["numbers"] + 0.1 * torch.randn(encoded["numbers"].shape)}

    own = replace(with_training(checkpoint_steps=3), encode=blurred)
    whole = fit(own, *parts, seed=1)
    for number in (1, 2, 4):
        resumed = fit(own, *parts, seed=1, resume=killed_after(parts, own, number))
        assert all(torch.equal(whole.weights[name], resumed.weights[name]) for name in whole.weights)


@pytest.mark.parametrize("accumulate", [2, 5, 1000])
def test_a_batch_in_pieces_teaches_what_it_teaches_whole(parts, accumulate):
    whole = fit(with_training(), *parts, seed=1)
    pieces = fit(with_training(accumulate=accumulate), *parts, seed=1)
    assert all(torch.allclose(whole.weights[name], pieces.weights[name], atol=1e-3) for name in whole.weights)


@pytest.mark.parametrize("num_rows", [4, 5])
def test_every_worker_learns_from_a_batch_in_as_many_pieces_of_two_rows_or_more(parts, monkeypatch, num_rows):
    found = {}
    for rank in (0, 1):
        monkeypatch.setattr(parallel, "own_rank", lambda rank=rank: rank)
        monkeypatch.setattr(parallel, "num_ranks", lambda: 2)
        monkeypatch.setattr(parallel, "averaging", lambda module, has_unused: module)
        monkeypatch.setattr(parallel, "share_buffers", lambda _, num_rows: None)
        monkeypatch.setattr(parallel, "mean_over_ranks", lambda value: value)
        sizes = found.setdefault(rank, [])

        def counting(batch, sizes=sizes):
            sizes.append(len(batch["site"]))
            return workload.encode(batch)

        own = replace(with_training(accumulate=8), encode=counting)
        rows = ordered(parts[0].slice(0, 2 * num_rows), own, purpose="training")
        seen = Examples.of(rows, Preparation.fit(rows, own.columns))
        network = own.model(seen.origin.preparation.sizes)
        own = replace(own, training=replace(own.training, batch_size=2 * num_rows))
        learner = Learner(own, network, objective=BinaryObjective(), seed=1, device="cpu")
        learner.run_epoch(0, InMemory(seen))
    assert len(found[0]) == len(found[1]) == num_rows // 2
    assert min(found[0] + found[1]) >= 2


def test_a_network_that_gets_no_better_is_ended_and_its_best_epoch_kept(parts):
    eager = replace(workload, training=replace(workload.training, epochs=40, learning_rate=0.3))
    long = fit(eager, *parts, seed=1)
    patient = fit(replace(eager, training=replace(eager.training, patience=2)), *parts, seed=1)
    assert len(patient.history) < len(long.history) == 40
    assert patient.history == long.history[: len(patient.history)]
    assert len(patient.history) - 1 - patient.best_epoch == 2


def test_a_fit_that_was_ended_early_is_not_gone_on_with(parts):
    eager = replace(workload, training=replace(workload.training, epochs=40, learning_rate=0.3, patience=2))
    states = []
    ended = fit(eager, *parts, seed=1, on_epoch=states.append)
    more = []
    again = fit(eager, *parts, seed=1, resume=states[-1], on_epoch=more.append)
    assert more == []
    assert again.history == ended.history


def test_nothing_held_back_takes_the_epochs_it_was_given_however_patient(parts):
    own = with_training(patience=1)
    found = fit(own, *parts, seed=1)
    again = refit(own, parts[0], num_epochs=3, calibration=found.calibration, seed=1)
    assert len(again.history) == 3


def test_half_width_teaches_what_full_width_does_nearly(parts):
    full, half = fit(with_training(), *parts, seed=1), fit(with_training(bfloat16=True), *parts, seed=1)
    assert any(not torch.equal(full.weights[name], half.weights[name]) for name in full.weights)
    assert all(tensor.dtype == torch.float32 for tensor in half.weights.values())
    for ours, theirs in zip(half.history, full.history, strict=True):
        assert ours.validation_loss == pytest.approx(theirs.validation_loss, abs=2e-3)


def test_num_workers_may_be_a_span():
    assert (Training(num_workers=(1, 4)).fewest_workers, Training(num_workers=(1, 4)).most_workers) == (1, 4)
    assert (Training(num_workers=3).fewest_workers, Training(num_workers=3).most_workers) == (3, 3)


def test_a_batch_has_rows_for_every_worker():
    assert Training(batch_size=1).batch_size == 1
    assert Training(batch_size=8, num_workers=(1, 4)).most_workers == 4
    with pytest.raises(WorkloadError, match="each of 5 workers needs rows of every batch; give a batch_size of 10"):
        Training(batch_size=8, num_workers=5)
    with pytest.raises(WorkloadError, match="give a batch_size of 16"):
        Training(batch_size=8, num_workers=4, stream=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"accumulate": 0},
        {"patience": 0},
        {"checkpoint_steps": 0},
        {"num_workers": (4, 1)},
        {"learning_rate": float("nan")},
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(WorkloadError):
        Training(**wrong)


def test_without_keep_best_the_last_epoch_counts_and_else_the_best(parts):
    given = {"epochs": 6, "learning_rate": 0.5}
    own = replace(workload, training=replace(workload.training, **given))
    last = replace(workload, training=replace(workload.training, **given, keep_best=False))
    states = []
    found, final = fit(own, *parts, seed=1, on_epoch=states.append), fit(last, *parts, seed=1)
    losses = [scores.validation_loss for scores in found.history]
    assert found.best_epoch == losses.index(min(losses)) < 5
    assert final.best_epoch == 5
    assert final.history == found.history
    assert all(torch.equal(final.weights[name], states[-1].weights[name]) for name in final.weights)
    assert any(not torch.equal(final.weights[name], found.weights[name]) for name in final.weights)
