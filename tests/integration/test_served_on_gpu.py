"""A workload whose replicas ask for a part of a GPU: what the cluster is told, and what a replica does with it."""

from dataclasses import replace

import pyarrow as pa
import pytest
import torch

from cluster.resources import predictor_actor_options
from heliostat import Pool, Serving
from heliostat.errors import SettingsError, WorkloadError
from heliostat.settings import Settings
from serve_apps.config import PredictorConfig
from serve_apps.engine.shadow import Shadow
from tests.integration.predictor_fixture import ROW, make_bundle, record, run, serving
from tests.toy import workload

ON_GPU = replace(workload, serving=Serving(gpus_per_replica=0.25))
ROWS = [{**ROW, "reading": f"r-{number}", "load_percent": 5 * number} for number in range(20)]


def test_what_a_workload_declares_of_its_replicas_is_what_the_cluster_keeps_for_them() -> None:
    declared = Serving(cpus_per_replica=2, gpus_per_replica=0.5)
    asked = predictor_actor_options(num_cpus=declared.cpus_per_replica, num_gpus=declared.gpus_per_replica)
    assert asked == {"num_cpus": 2, "num_gpus": 0.5}
    assert predictor_actor_options() == {"num_cpus": 0.05}


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"cpus_per_replica": 0.0}, "cpus_per_replica must be above 0"),
        ({"cpus_per_replica": 0.00001}, "cpus_per_replica must be above 0, at least 0.0001"),
        ({"gpus_per_replica": 1.5}, "to 1, or a whole number"),
        ({"gpus_per_replica": -0.5}, "to 1, or a whole number"),
        ({"gpus_per_replica": -1.0}, "to 1, or a whole number"),
        ({"gpus_per_replica": 0.00001}, "must be 0, a share from 0.0001 to 1"),
        ({"gpus_per_replica": float("nan")}, "takes a number"),
        ({"cpus_per_replica": 1.0, "pool": Pool()}, "has no replicas of its own"),
        ({"gpus_per_replica": 0.5, "pool": Pool()}, "has no replicas of its own"),
    ],
)
def test_shares_that_cannot_be_kept_are_refused_when_they_are_declared(declared, said):
    with pytest.raises(WorkloadError, match=said):
        Serving(**declared)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_replica_without_the_gpu_that_it_asked_for_does_not_start(tmp_path):
    async def scenario():
        with pytest.raises(SettingsError, match="sees no GPU here"):
            async with serving(ON_GPU, tmp_path, record({1: make_bundle(tmp_path, "tests.toy", seed=1)})):
                pass

    run(scenario)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_candidate_in_the_shadow_is_asked_where_the_replica_answers(tmp_path):
    async def scenario():
        async with serving(workload, tmp_path, record({1: make_bundle(tmp_path, "tests.toy", seed=1)})) as served:
            shadow = Shadow(PredictorConfig.of(ON_GPU, Settings(home=tmp_path), {}))
            try:
                columns = served.predictor.config.contract.logged
                none = pa.schema([(column.name, column.arrow_type) for column in columns]).empty_table()
                said = shadow._process.ask(served.predictor.live, 1, none)
            finally:
                shadow._process.stop()
        assert "sees no GPU here" in said.error

    run(scenario)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_network_answers_on_a_gpu_as_on_a_cpu(tmp_path):
    async def scenario():
        routing = record({1: make_bundle(tmp_path, "tests.toy", seed=1)})
        async with serving(workload, tmp_path / "cpu", routing) as on_cpu, serving(ON_GPU, tmp_path, routing) as on_gpu:
            expected, found = await on_cpu.predict(*ROWS), await on_gpu.predict(*ROWS)
        assert found["predictions"] == pytest.approx(expected["predictions"], abs=1e-5)

    run(scenario)
