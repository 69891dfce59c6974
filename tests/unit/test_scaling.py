"""How many replicas a load asks for, and that Serve's controller can decide it without this project's code."""

import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from cluster.ingress import hooks_dir, install_hooks
from heliostat import Scaling, Serving
from heliostat.errors import WorkloadError
from heliostat.serving.scaling import NUM_ANSWERED, SLOWEST_MS, Load, ScalingPolicy, Targets, wanted_replicas
from heliostat.settings import Settings

TARGETS = Targets(min_replicas=1, target_ongoing_requests=8, target_latency_ms=None, may_be_zero=False)
FAST = replace(TARGETS, target_latency_ms=100)
TO_ZERO = replace(TARGETS, may_be_zero=True)


@pytest.mark.parametrize(("num_ongoing", "wanted"), [(0.1, 1), (8, 1), (8.1, 2), (24, 3), (80, 10)])
def test_replicas_follow_the_requests_in_work(num_ongoing: float, wanted: int) -> None:
    assert wanted_replicas(Load(num_replicas=2, num_ongoing=num_ongoing), TARGETS) == wanted


def test_double_the_load_asks_for_double_the_replicas() -> None:
    assert wanted_replicas(Load(num_replicas=2, num_ongoing=16), TARGETS) == 2
    assert wanted_replicas(Load(num_replicas=2, num_ongoing=32), TARGETS) == 4


@pytest.mark.parametrize(("slowest_ms", "wanted"), [(100, 2), (150, 3), (1000, 4), (60, 2), (40, 1)])
def test_slow_answers_ask_for_more_replicas_but_at_most_for_twice_as_many(slowest_ms: float, wanted: int) -> None:
    load = Load(num_replicas=2, num_ongoing=5, num_answered=10, slowest_ms=slowest_ms)
    assert wanted_replicas(load, FAST) == wanted


def test_a_model_that_is_slow_by_itself_gets_no_more_replicas() -> None:
    load = Load(num_replicas=2, num_ongoing=1.5, num_answered=10, slowest_ms=1000)
    assert wanted_replicas(load, FAST) == 2


def test_without_a_request_none_is_left_where_that_was_asked_for() -> None:
    idle = Load(num_replicas=1, num_ongoing=0)
    assert wanted_replicas(idle, TO_ZERO) == 0
    assert wanted_replicas(idle, TARGETS) == 1


def test_requests_too_short_to_be_seen_at_work_still_keep_a_replica() -> None:
    load = Load(num_replicas=1, num_ongoing=0, num_answered=0.2)
    assert wanted_replicas(load, TO_ZERO) == 1


@dataclass
class Context:
    """What the policy reads of Serve's own context."""

    current_num_replicas: int = 2
    target_num_replicas: int = 2
    total_num_requests: float = 0.0
    aggregated_metrics: dict[str, dict[str, float]] = field(default_factory=dict)


def policy(targets: Targets = TO_ZERO) -> ScalingPolicy:
    return ScalingPolicy(**vars(targets))


def test_the_policy_sums_what_was_answered_and_takes_the_slowest_replica() -> None:
    reported = {NUM_ANSWERED: {"a": 3.0, "b": 4.0}, SLOWEST_MS: {"a": 10.0, "b": 150.0}}
    context = Context(total_num_requests=5, aggregated_metrics=reported)
    assert policy(FAST)(context) == (3, {})


def test_while_the_first_replica_starts_the_target_stays() -> None:
    assert policy()(Context(current_num_replicas=0, target_num_replicas=1)) == (1, {})


def test_before_any_report_an_idle_deployment_may_go_to_zero() -> None:
    assert policy()(Context()) == (0, {})


LOADED_ELSEWHERE = """
import sys, cloudpickle
from types import SimpleNamespace
policy = cloudpickle.loads(sys.stdin.buffer.read())
context = SimpleNamespace(
    current_num_replicas=2, target_num_replicas=2, total_num_requests=33.0, aggregated_metrics={}
)
made = policy(min_replicas=1, target_ongoing_requests=8.0, target_latency_ms=None, may_be_zero=False)
print(made(context)[0], "heliostat" in sys.modules)
"""


def test_serves_controller_decides_without_this_projects_code(tmp_path: Path) -> None:
    from serve_apps.scaling import replica_options

    options = replica_options(Serving(scaling=Scaling(max_replicas=6)))
    pickled = options["autoscaling_config"].policy.get_serialized_policy_def()
    done = subprocess.run(
        [sys.executable, "-P", "-c", LOADED_ELSEWHERE], cwd=tmp_path, input=pickled, capture_output=True, check=False
    )
    assert done.stdout.split() == [b"5", b"False"], done.stderr.decode()


def test_what_is_declared_is_what_serve_is_told() -> None:
    from serve_apps.scaling import replica_options

    assert replica_options(Serving(num_replicas=3)) == {"num_replicas": 3}
    scaling = Scaling(min_replicas=2, max_replicas=6, scale_to_zero_after=timedelta(seconds=90))
    config = replica_options(Serving(scaling=scaling))["autoscaling_config"]
    assert (config.min_replicas, config.initial_replicas, config.max_replicas) == (0, 2, 6)
    assert (config.upscale_delay_s, config.downscale_delay_s, config.downscale_to_zero_delay_s) == (5, 120, 90)
    staying = replica_options(Serving(scaling=replace(scaling, scale_to_zero_after=None)))["autoscaling_config"]
    assert (staying.min_replicas, staying.downscale_to_zero_delay_s) == (2, None)


REBUILT = """
import sys
from ray.serve._private.config import DeploymentConfig
policy = DeploymentConfig(**eval(sys.stdin.read())).autoscaling_config.policy.get_policy()
made = policy(min_replicas=2, target_ongoing_requests=8.0, target_latency_ms=None, may_be_zero=False)
print(type(made).__module__, "heliostat" in sys.modules)
"""


def test_serves_controller_can_rebuild_a_declaration_without_this_projects_code(tmp_path: Path) -> None:
    """As it does whenever the declaration says anything of the deployment: then what was pickled is lost."""
    from ray.serve._private.config import DeploymentConfig

    from serve_apps.scaling import replica_options

    settings = Settings(home=tmp_path)
    install_hooks(settings)
    options = DeploymentConfig(**replica_options(Serving(scaling=Scaling(min_replicas=2)))).model_dump(mode="json")
    options = {"autoscaling_config": options["autoscaling_config"]}
    done = subprocess.run(
        [sys.executable, "-P", "-c", REBUILT],
        cwd=tmp_path,
        input=repr(options).encode(),
        env={**os.environ, "PYTHONPATH": str(hooks_dir(settings))},
        capture_output=True,
        check=False,
    )
    assert done.stdout.split()[-2:] == [b"heliostat_serve_scaling", b"False"], done.stderr.decode()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_replicas": 0}, "scale_to_zero_after"),
        ({"min_replicas": 5, "max_replicas": 4}, "at most max_replicas"),
        ({"target_ongoing_requests": 0}, "target_ongoing_requests must be above 0"),
        ({"target_latency_ms": -1}, "target_latency_ms must be above 0"),
        ({"downscale_delay": timedelta(seconds=-1)}, "no delay may be negative"),
    ],
)
def test_a_scaling_that_cannot_be_kept_is_refused(options: dict, message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        Scaling(**options)
