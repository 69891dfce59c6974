from dataclasses import replace
from functools import partial

import pytest
import torch

from heliostat import Between, OneOf, Tuning
from heliostat.errors import ClusterError, WorkloadError
from heliostat.learn.bundle import ServedModel, to_files
from heliostat.learn.fit import fit
from heliostat.learn.room import Demand, takes_gpus, workers_that_fit
from heliostat.learn.rows import split_by_time
from heliostat.learn.tuned import configured, declared_point, kept
from tests.toy import workload as untuned
from tests.toy_rows import labelled_rows
from tests.toy_tuned import workload

DEMAND = Demand(per_trial=0.5, kept_free=0.5, max_concurrent=4)
RATES = Between(1e-4, 1e-1, log=True)


def test_trials_fill_what_is_idle_and_leave_a_part_of_it():
    assert DEMAND.trials_that_fit(free=2.0, num_running=0, num_waiting_others=0) == 3
    assert DEMAND.trials_that_fit(free=0.5, num_running=3, num_waiting_others=0) == 3
    assert DEMAND.trials_that_fit(free=64.0, num_running=0, num_waiting_others=0) == 4


def test_a_trial_gives_way_when_the_free_part_is_taken_and_all_do_when_somebody_waits():
    assert DEMAND.trials_that_fit(free=0.4, num_running=3, num_waiting_others=0) == 2
    assert DEMAND.trials_that_fit(free=0.0, num_running=1, num_waiting_others=0) == 0
    assert DEMAND.trials_that_fit(free=2.0, num_running=3, num_waiting_others=1) == 0


def test_workers_fit_where_one_node_has_all_that_one_needs():
    fit = partial(workers_that_fit, own_by_node={})
    assert fit({"a": {"CPU": 1.9}, "b": {"CPU": 0.4}}, per_worker={"CPU": 0.5}) == 3
    assert fit({"a": {"CPU": 0.3}}, per_worker={"CPU": 0.1}) == 3
    assert fit({"a": {"CPU": 8.0, "GPU": 2.0}, "b": {"CPU": 8.0}}, per_worker={"CPU": 0.5, "GPU": 1.0}) == 2
    assert fit({"a": {"CPU": -0.1}}, per_worker={"CPU": 0.5}) == 0
    with pytest.raises(ClusterError, match="fit without end"):
        fit({"a": {"CPU": 1.0}}, per_worker={"CPU": 0.0})


def test_workers_take_gpus_where_there_is_one_for_each_unless_it_is_declared():
    assert takes_gpus(None, num_workers=4, num_gpus=4)
    assert not takes_gpus(None, num_workers=4, num_gpus=3)
    assert takes_gpus(True, num_workers=4, num_gpus=0)
    assert not takes_gpus(False, num_workers=1, num_gpus=8)


def test_places_that_workers_have_already_count_unless_their_node_is_lost():
    own = {"a": 2, "lost": 3}
    assert workers_that_fit({"a": {}, "b": {"CPU": 1.0}}, per_worker={"CPU": 0.5}, own_by_node=own) == 4


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({}, "needs a space"),
        ({"learning_rat": RATES}, "cannot vary 'learning_rat'"),
        ({"learning_rate": RATES, "trees.depth": Between(2, 9, whole=True)}, "cannot vary 'trees.depth'"),
        ({"learning_rate": Between(0.0, 0.1)}, "must be above 0"),
        ({"epochs": Between(1, 9)}, "epochs takes whole numbers"),
        ({"model.a b": OneOf((1, 2))}, "cannot vary 'model.a b'"),
        ({"learning_rate": (1e-4, 1e-1)}, r"has \(0.0001, 0.1\) for 'learning_rate'; give Between"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused_before_any_trial(space, said):
    with pytest.raises(WorkloadError, match=said):
        Tuning(space=space)


@pytest.mark.parametrize("make", [lambda: Between(2, 1), lambda: Between(0, 1, log=True), lambda: OneOf((1,))])
def test_an_empty_span_is_refused(make):
    with pytest.raises(WorkloadError):
        make()


def test_a_space_of_trees_needs_trees():
    with pytest.raises(WorkloadError, match="search space for its trees and has none"):
        replace(untuned, tuning=Tuning(space={"trees.depth": Between(2, 9, whole=True)}))


def test_a_configuration_takes_the_place_of_what_is_declared():
    own = configured(workload, {"learning_rate": 0.05, "model.width": 16})
    assert own.training == replace(workload.training, learning_rate=0.05)
    assert own.model({"site": 5}).layers[0].out_features == 16
    assert workload.model({"site": 5}).layers[0].out_features == 8


def test_a_keyword_that_the_model_does_not_take_is_told():
    with pytest.raises(WorkloadError, match="does not take 'depth'"):
        configured(workload, {"model.depth": 3})


def test_the_declared_settings_are_a_point_of_the_space_when_they_lie_in_it():
    assert declared_point(workload, workload.tuning) == {"learning_rate": 0.01, "model.width": 8}
    narrow = replace(workload.tuning, space={"learning_rate": Between(1e-4, 1e-3)})
    assert declared_point(workload, narrow) is None
    wider = replace(workload.tuning, space={"model.width": OneOf((16, 32))})
    assert declared_point(workload, wider) is None


def test_later_training_keeps_what_the_champion_was_tuned_to_while_the_space_is_declared():
    lineage = {"configuration": {"learning_rate": 0.05}}
    assert kept(workload, lineage) == {"learning_rate": 0.05}
    assert kept(workload, {}) == {}
    assert kept(replace(workload, tuning=None), lineage) == {}
    assert kept(replace(workload, tuning=Tuning(space={"learning_rate": Between(0.1, 0.2)})), lineage) == {}


@pytest.mark.parametrize(
    ("space", "given", "most"),
    [
        ({"learning_rate": Between(1e-4, 1e-2)}, {}, 6),
        ({"learning_rate": Between(1e-4, 1e-2)}, {"first_epochs": 9}, 9),
        ({"epochs": Between(2, 30, whole=True)}, {}, 30),
        ({"epochs": OneOf((3, 27, 9))}, {}, 27),
        ({"epochs": OneOf((2, 4))}, {}, 4),
        ({"trees.depth": OneOf((2, 4))}, {}, 50),
        ({"trees.depth": OneOf((2, 4))}, {"first_epochs": 3}, 150),
        ({"trees.rounds": Between(100, 800, whole=True)}, {}, 800),
    ],
)
def test_trials_are_compared_up_to_the_epochs_of_the_longest(space, given, most):
    assert Tuning(space=space, **given).most_epochs(6) == most


def test_a_bundle_of_a_tuned_network_answers_as_it_was_fitted():
    parts = split_by_time(labelled_rows("2024-01", "2024-02", rows_per_part=300), share=0.2)
    configuration = {"learning_rate": 0.05, "model.width": 16}
    fitted = fit(configured(workload, configuration), *parts, seed=1)
    files = to_files("tests.toy_tuned", fitted, profile={}, lineage={}, configuration=configuration)
    loaded = ServedModel.load(files)
    assert loaded.workload.model({"site": 5}).layers[0].out_features == 16
    logits = configured(workload, configuration).model(fitted.preparation.sizes)
    logits.load_state_dict(fitted.weights)
    expected = logits.eval()(workload.encode(fitted.preparation.prepare(parts[1]))).detach().numpy()
    assert torch.allclose(torch.from_numpy(loaded.logits(parts[1])).float(), torch.from_numpy(expected), atol=1e-5)
