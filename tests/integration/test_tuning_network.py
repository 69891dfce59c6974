"""A search for networks, without Ray: a trial's last score is that of the fit a run would make, and who may run."""

import sys
from dataclasses import replace

import pytest
import torch
from ray import tune
from ray.exceptions import RpcError

from cluster import idle
from heliostat import Training
from heliostat.learn import bundle
from heliostat.learn.fit import fit
from heliostat.learn.room import Demand
from heliostat.learn.rows import ordered, split_by_time
from heliostat.metrics import Metric, log_loss
from jobs import _tuning
from jobs._tuning_search import Room
from tests import toy
from tests.toy_rows import labelled_rows
from tests.toy_tuned import workload

TRAIN, LATER = split_by_time(labelled_rows("2024-01", "2024-02", rows_per_part=600), share=0.2)


@pytest.mark.parametrize("given", [{}, {"isotonic": True}, {"keep_best": False}])
@pytest.mark.parametrize("metric", [None, log_loss])
def test_a_trial_scores_what_a_run_would_keep(monkeypatch, given, metric):
    own = replace(workload, training=Training(epochs=8, learning_rate=0.1, batch_size=32, **given))
    scores = []
    monkeypatch.setattr(tune, "report", lambda values, **_: scores.append(values[_tuning.SCORE]))
    monkeypatch.setattr(tune, "get_checkpoint", lambda: None)
    _tuning._fit(own, metric, TRAIN, LATER, device="cpu")
    fitted = fit(own, TRAIN, LATER, seed=own.training.seed)
    assert fitted.history[-1].validation_loss > min(each.validation_loss for each in fitted.history)
    expected = fitted.history[fitted.best_epoch].validation_loss
    if metric is not None:
        rows = ordered(LATER, own, purpose="validation")
        expected = metric(rows["label"].to_numpy(), bundle.served(own, fitted).answers(rows))
    assert scores[-1] == pytest.approx(expected, abs=1e-5)


def test_an_encode_that_writes_to_its_batch_is_scored_as_it_is_fitted(monkeypatch):
    def encode(batch):
        batch["load_percent"] -= 50
        return toy.encode(batch)

    own = replace(workload, encode=encode, training=Training(epochs=4, learning_rate=0.02, batch_size=64))
    scores = []
    monkeypatch.setattr(tune, "report", lambda values, **_: scores.append(values[_tuning.SCORE]))
    monkeypatch.setattr(tune, "get_checkpoint", lambda: None)
    _tuning._fit(own, log_loss, TRAIN, LATER, device="cpu")
    fitted = fit(own, TRAIN, LATER, seed=own.training.seed)
    rows = ordered(LATER, own, purpose="validation")
    expected = log_loss(rows["label"].to_numpy(), bundle.served(own, fitted).answers(rows))
    assert scores[-1] == pytest.approx(expected, abs=1e-5)


def no_score(labels, answers):
    raise ValueError("no such label")


def test_a_metric_that_fails_is_a_sentence_with_its_line_and_the_trial_the_worst(monkeypatch):
    own = replace(workload.tuning, metric=Metric("own", no_score))
    monkeypatch.setattr(_tuning, "load", lambda _: replace(workload, tuning=own, metrics=(own.metric,)))
    reports = []
    monkeypatch.setattr(tune, "report", lambda values, **_: reports.append(values))
    monkeypatch.setattr(tune, "get_checkpoint", lambda: None)
    _tuning.trial({}, module="own", device="cpu", train=TRAIN, validation=LATER)
    assert reports[-1]["score"] == float("inf")
    assert reports[-1]["error"].startswith("metric 'own' failed with ValueError: no such label")


def exits_once_scored(batch):
    if not torch.is_grad_enabled():
        sys.exit(4)
    return toy.encode(batch)


def test_code_that_ends_the_process_is_a_sentence_and_what_ray_itself_ends_is_not(monkeypatch):
    odd = replace(workload, encode=exits_once_scored, tuning=replace(workload.tuning, metric=log_loss))
    monkeypatch.setattr(_tuning, "load", lambda _: odd)
    reports = []
    monkeypatch.setattr(tune, "report", lambda values, **_: reports.append(values))
    monkeypatch.setattr(tune, "get_checkpoint", lambda: None)
    _tuning.trial({}, module="own", device="cpu", train=TRAIN, validation=LATER)
    assert reports[-1]["score"] == float("inf")
    assert reports[-1]["error"].startswith("encode failed with SystemExit: 4")
    assert "(test_tuning_network.py, line " in reports[-1]["error"]

    def ended(*_, **__):  # as Ray does where a trial is stopped
        raise SystemExit(0)

    monkeypatch.setattr(_tuning, "load", lambda _: workload)
    monkeypatch.setattr(tune, "report", ended)
    with pytest.raises(SystemExit):
        _tuning.trial({}, module="own", device="cpu", train=TRAIN, validation=LATER)


def test_while_the_cluster_does_not_say_what_is_free_nothing_begins_and_nothing_pauses(monkeypatch):
    room = Room(Demand(per_trial=0.5, kept_free=0.5, max_concurrent=4), uses_gpu=False)

    def does_not_answer():
        raise RpcError("Deadline Exceeded", rpc_code=4)

    monkeypatch.setattr(idle, "read", does_not_answer)
    assert room.fits(num_running=2, num_pending=0) == 2
    monkeypatch.setattr(idle, "read", lambda: idle.Idle(num_cpus=8.0, num_gpus=0.0, num_waiting=0))
    assert room.fits(num_running=2, num_pending=0) == 4
