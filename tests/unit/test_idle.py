"""What a job says of a pool that is full."""

import pytest

from cluster.idle import reason_to_wait
from jobs import _room


@pytest.mark.parametrize("num_cpus", [0.25, 0.8])
def test_a_task_that_fits_has_no_reason_to_wait(num_cpus):
    assert reason_to_wait(0.8, num_needed=num_cpus) is None


def test_a_full_pool_is_said_with_what_is_free_and_what_is_asked():
    reason = reason_to_wait(0.8, num_needed=1.0)
    assert "0.80 CPUs are free" in reason
    assert "takes 1.0" in reason
    assert "gets a node" in reason


def test_a_job_says_so_without_an_autoscaler_that_answers(monkeypatch, capsys):
    monkeypatch.setattr("ray.available_resources", lambda: {"CPU": 0.1})
    _room.say_if_full(num_cpus=0.05)
    assert not capsys.readouterr().err
    _room.say_if_full(num_cpus=0.25)
    assert "0.10 CPUs are free" in capsys.readouterr().err


def test_a_job_says_that_it_waits_for_gpus_and_how_to_do_without(monkeypatch, capsys):
    monkeypatch.setattr("ray.available_resources", lambda: {"CPU": 8.0, "GPU": 1.0})
    _room.say_if_full(num_cpus=2.0, num_gpus=1.0)
    assert not capsys.readouterr().err
    _room.say_if_full(num_cpus=2.0, num_gpus=2.0)
    said = capsys.readouterr().err
    assert "1.00 GPUs are free and a task of this job takes 2.0" in said
    assert "Training(use_gpu=False) needs none." in said


@pytest.mark.parametrize(("num_gpus", "says"), [(0, False), (4, True), (8, False)])
def test_fewer_gpus_than_workers_are_said(capsys, num_gpus, says):
    _room.say_if_too_few(num_gpus=num_gpus, num_workers=8)
    said = capsys.readouterr().err
    assert ("the cluster has 4 GPUs, and 8 workers would take one each: they learn on CPUs" in said) is says
